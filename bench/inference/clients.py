"""The clients of every peer: threads of one Python, each of which asks again as soon as it is answered."""

import json
import struct
import sys
import threading
import time


def row():
    """3,136 bytes: one row of the model."""
    return struct.pack("<784f", *((at % 7) * 0.1 for at in range(784)))


def main(make):
    """`ask CLIENTS SECONDS`: prints how many answers there were a second, and the median time to one."""
    count, seconds = int(sys.argv[2]), float(sys.argv[3])
    times, errors = [], []
    ready = threading.Barrier(count)

    def client():
        try:
            ask = make()
            # The first loads the model, and connects.
            ask()
            ready.wait(timeout=60)
            own, end = [], time.monotonic() + seconds
            while (begun := time.monotonic()) < end:
                ask()
                own.append(time.monotonic() - begun)
            times.extend(own)
        except Exception as error:  # whatever it is goes into the peer's row
            errors.append(f"{type(error).__name__}: {error}")
            ready.abort()

    threads = [threading.Thread(target=client) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        # The others only say that the first one broke the barrier.
        sys.exit(next((error for error in errors if "Barrier" not in error), errors[0]))
    times.sort()
    print(json.dumps({"per_s": len(times) / seconds, "p50_ms": 1e3 * times[len(times) // 2]}))
