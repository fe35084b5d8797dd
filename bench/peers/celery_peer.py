"""Celery as most people run it: prefork, results in Redis, JSON, default prefetch."""

from celery import Celery

import peer

app = Celery("peers", broker=peer.REDIS, backend=peer.REDIS)
app.conf.broker_connection_retry_on_startup = True
CAVEAT = "two prefork processes and their master; acknowledged when taken (acks_late off), so less safe than skep"


@app.task(name="multiply")
def multiply(a, b):
    peer.count()
    return a * b


def post():
    return multiply.delay(6, 7)


def round_trip():
    assert post().get(timeout=peer.TIMEOUT_S) == 42


def work():
    app.worker_main(["worker", "-P", "prefork", "-c", "2", "-l", "ERROR"])


if __name__ == "__main__":
    peer.main(peer.about("Celery", "celery", CAVEAT, start=1), post, work, round_trip)
