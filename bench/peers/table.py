"""The table, the ratios, and what a reader has to know to trust them."""

CAVEATS = [
    "Same machine, same Redis, same minutes, one after the other; a job is one multiplication, so this is the cost of"
    " queueing, not of work.",
    "drain/s: a queue filled beforehand, all workers running; the start of interpreters is not in it.",
    "others: cores that other processes used during the drain. They slow the drain down. CPU per job they can even"
    " lower: on a quiet virtual machine each round trip wakes a sleeping core, which costs more than a short answer.",
    "worker CPU: all worker processes, during the drain. Redis CPU (main thread) and commands (those inside MULTI and"
    " Lua too): post + claim + complete, posted in bulk where the peer can.",
    "p50: from post to the result in the client, workers idle, by the peer's own call.",
]
COLUMNS = [
    ("peer", "name", None),
    ("version", "version", None),
    ("post/s", "enqueue_per_s", 0),
    ("bulk/s", "bulk_enqueue_per_s", 0),
    ("drain/s", "drain_per_s", 0),
    ("worker µs", "worker_cpu_us", 1),
    ("Redis µs", "redis_cpu_us", 1),
    ("commands", "redis_commands", 1),
    ("p50 ms", "rtt_p50_ms", 2),
    ("others", "others_cores", 1),
    ("drain ×", "drain_ratio", 1),
    ("CPU ×", "cpu_ratio", 1),
]


def ratios(results):
    """How many times faster skep drains, and how many times less CPU (worker and Redis) a job takes."""
    skep = next((result for result in results if result["peer"] == "skep"), {})
    return {
        peer["peer"]: {
            "drain_ratio": _quotient(skep.get("drain_per_s"), peer.get("drain_per_s")),
            "cpu_ratio": _quotient(_cpu(peer), _cpu(skep)),
        }
        for peer in results
        if peer["peer"] != "skep"
    }


def text(machine, results):
    compared = ratios(results)
    rows = [result | compared.get(result["peer"], {}) for result in results]
    cells = [[title for title, _, _ in COLUMNS]]
    cells += [[_cell(row, key, digits) for _, key, digits in COLUMNS] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for number, line in enumerate(cells):
        # Names to the left, numbers to the right; a row that failed says why in place of numbers.
        texts = [cell.ljust(width) for cell, width in zip(line[:2], widths)]
        error = rows[number - 1].get("error") if number else None
        texts += [error] if error else [cell.rjust(width) for cell, width in zip(line[2:], widths[2:])]
        lines.append("  ".join(texts).rstrip())
    units = "per job: worker µs, Redis µs, commands.  ×: skep's drain/s by the peer's; the peer's CPU by skep's."
    lines += ["", units, ""]
    lines += [f"- {caveat}" for caveat in CAVEATS]
    lines += [f"- {row['name']} ({row['jobs']:,} jobs): {row['caveat']}." for row in rows if "caveat" in row]
    load = " ".join(map(str, machine["load"]))
    lines.append(
        f"- Machine: {machine['cores']} cores, {machine['cpu']}; load {load} at the start; Redis {machine['redis']}"
        f", Python {machine['python']}, Node {machine['node'] or 'none'}."
    )
    return "\n".join(lines)


def _cell(row, key, digits):
    value = row.get(key)
    if value is None:
        return "–"
    return value if digits is None else f"{value:,.{digits}f}"


def _cpu(result):
    parts = result.get("worker_cpu_us"), result.get("redis_cpu_us")
    return None if None in parts else sum(parts)


def _quotient(top, bottom):
    return top / bottom if top and bottom else None
