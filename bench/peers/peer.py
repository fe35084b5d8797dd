"""What the Python peers share: their verbs, and a counter of finished jobs that Redis does not notice."""

import json
import mmap
import os
import sys
import time
from importlib.metadata import version

REDIS = os.environ.get("PEER_REDIS", "redis://127.0.0.1:6379/0")
TIMEOUT_S = 30
_done = None


def count():
    """One more job ran in this process. A file for each process needs no lock."""
    global _done
    if _done is None:
        with open(os.path.join(os.environ["PEER_COUNTS"], str(os.getpid())), "w+b") as file:
            file.truncate(8)
            _done = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    _done[0] += 1


def about(name, package, caveat, start=2, bulk=False):
    """`start`: how many processes to start; celery's one process starts its own two workers."""
    known = version(package)
    return {"name": name, "version": known, "caveat": caveat, "start": start, "bulk": bulk}


def timed(job):
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def main(facts, post, work, round_trip, post_bulk=None):
    """`measure.py` calls each peer with one of these verbs, and reads its answer as JSON."""
    verb, jobs = sys.argv[1], int((sys.argv + ["0"])[2])
    if verb == "about":
        answer = facts
    elif verb == "post":
        answer = timed(lambda: [post() for _ in range(jobs)])
    elif verb == "post-bulk":
        answer = timed(lambda: post_bulk(jobs))
    elif verb == "round-trip":
        answer = [timed(round_trip) for _ in range(jobs)]
    elif verb == "work":
        return work()
    else:
        sys.exit(f"unknown verb {verb}")
    print(json.dumps(answer))
