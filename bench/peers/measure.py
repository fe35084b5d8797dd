"""Measures one peer: posts jobs with the workers off, starts the workers, and watches the queue drain.

The clock of the drain starts when each worker process has run a job, so no interpreter's start is in it, and stops
with the last job. Jobs are counted in a small file for each process (peer.py), which costs Redis nothing.
"""

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = HERE.parents[1] / "target/peers"
PROGRAMS = {
    "mlq": [HOME / "mlq/bin/python", HERE / "mlq_peer.py"],
    "bullmq": ["node", HERE / "bullmq_peer.mjs"],
    "celery": [HOME / "celery/bin/python", HERE / "celery_peer.py"],
    "rq": [HOME / "rq/bin/python", HERE / "rq_peer.py"],
}
WORKERS = 2
ROUND_TRIPS = 300
LONGEST_S = 600
LOOK_EVERY_S = 0.005
# What a worker still has to tell Redis after its last job's body has run.
SETTLE_S = 0.5
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class PeerError(Exception):
    """The peer could not be measured; the text goes into its row."""


def measure(peer, redis, jobs):
    """The figures of one peer, on a Redis that is empty now and will be empty after."""
    if (failed := HOME / f"{peer}.failed").exists():
        raise PeerError(f"not installed: {failed.read_text().strip()}")
    if not (HOME / f"{peer}.installed").exists():
        raise PeerError("not installed; run bench/peers/install")
    try:
        with tempfile.TemporaryDirectory(prefix="skep-peers.") as directory:
            return _Run(peer, redis, jobs, Path(directory)).figures()
    finally:
        redis.flush()


class _Run:
    def __init__(self, peer, redis, jobs, directory):
        self.program = [*PROGRAMS[peer]]
        self.redis, self.jobs = redis, jobs
        self.counts = directory / "counts"
        self.counts.mkdir()
        self.errors = directory / "stderr"
        self.environment = os.environ | {
            "PEER_REDIS": redis.url,
            "PEER_COUNTS": str(self.counts),
            "PEER_HOME": str(HOME / peer),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def figures(self):
        about = self.ask("about")
        enqueue_per_s, post = self.post("post")
        bulk_per_s = None
        if about["bulk"]:
            # Drain what was posted in bulk: the cheaper way is the one that counts.
            self.redis.flush()
            bulk_per_s, post = self.post("post-bulk")
        with self.workers(about["start"]) as roots:
            drain, drained = self.drain(roots)
            trips_ms = sorted(1e3 * seconds for seconds in self.ask("round-trip", ROUND_TRIPS))
        return {
            "name": about["name"],
            "version": about["version"],
            "jobs": self.jobs,
            "enqueue_per_s": enqueue_per_s,
            "bulk_enqueue_per_s": bulk_per_s,
            **drain,
            "redis_cpu_us": post[0] + drained[0],
            "redis_cpu_us_post": post[0],
            "redis_cpu_us_drain": drained[0],
            "redis_commands": post[1] + drained[1],
            "redis_commands_post": post[1],
            "redis_commands_drain": drained[1],
            "rtt_p50_ms": statistics.median(trips_ms),
            "rtt_p99_ms": trips_ms[int(len(trips_ms) * 0.99)],
            "caveat": about["caveat"],
        }

    def ask(self, verb, jobs=0):
        with self.errors.open("a") as errors:
            try:
                done = subprocess.run(
                    [*self.program, verb, str(jobs)],
                    env=self.environment,
                    cwd=HERE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    timeout=LONGEST_S,
                    check=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise PeerError(f"{verb}: {self.last_error() or error}") from error
        return json.loads(done.stdout)

    def post(self, verb):
        before = self.redis.spent()
        seconds = self.ask(verb, self.jobs)
        return self.jobs / seconds, self.redis.spent().per_job(before, self.jobs)

    @contextlib.contextmanager
    def workers(self, processes):
        """Each in a session of its own, so that its children can be found, and nothing else is ever stopped."""
        with self.errors.open("a") as errors:
            roots = [
                subprocess.Popen(
                    [*self.program, "work"],
                    env=self.environment,
                    cwd=HERE,
                    stdout=errors,
                    stderr=errors,
                    start_new_session=True,
                )
                for _ in range(processes)
            ]
        try:
            yield roots
        finally:
            for root in roots:
                root.terminate()
            for root in roots:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    root.wait(timeout=5)
                for pid in _session(root.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)
                root.wait()

    def drain(self, roots):
        self.wait_for(roots, lambda counts: sum(map(bool, counts)) == WORKERS or sum(counts) == self.jobs)
        early, before, at_start = sum(self.done()), self.redis.spent(), _Cpu(roots)
        self.wait_for(roots, lambda counts: sum(counts) >= self.jobs)
        seconds, jobs = time.monotonic() - at_start.time, self.jobs - early
        if jobs < self.jobs / 10:
            raise PeerError(f"{early} of {self.jobs} jobs ran before both workers did; take more jobs")
        time.sleep(SETTLE_S)
        at_end, after = _Cpu(roots), self.redis.spent()
        ours = at_end.workers - at_start.workers
        others = at_end.machine - at_start.machine - ours - (after.cpu - before.cpu)
        return {
            "drain_per_s": jobs / seconds,
            "worker_cpu_us": 1e6 * ours / jobs,
            "others_cores": max(0, others) / (at_end.time - at_start.time),
        }, after.per_job(before, jobs)

    def wait_for(self, roots, reached):
        give_up = time.monotonic() + LONGEST_S
        while not reached(self.done()):
            if any(root.poll() is not None for root in roots):
                raise PeerError(f"a worker ended: {self.last_error()}")
            if time.monotonic() > give_up:
                raise PeerError(f"{sum(self.done())} of {self.jobs} jobs ran in {LONGEST_S} s")
            time.sleep(LOOK_EVERY_S)

    def done(self):
        return [int.from_bytes(file.read_bytes(), "little") for file in self.counts.iterdir()]

    def last_error(self):
        lines = self.errors.read_text(errors="replace").strip().splitlines()
        # Node ends a report with its version.
        return next((line.strip() for line in reversed(lines) if "rror" in line), lines[-1] if lines else "")


class _Cpu:
    """CPU seconds so far: of the workers with all their children, and of all that the machine ran."""

    def __init__(self, roots):
        self.time = time.monotonic()
        self.workers = sum(_ticks(pid) for root in roots for pid in _session(root.pid)) * TICK_S
        # What the hypervisor gave to other machines counts as taken, too.
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        self.machine = (user + nice + system + irq + softirq + steal) * TICK_S


def _stat(pid):
    """The fields of /proc/PID/stat after the name, from the state on; nothing once the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _session(leader):
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if _stat(pid)[3:4] == [str(leader)]]


def _ticks(pid):
    return sum(map(int, _stat(pid)[11:15]))
