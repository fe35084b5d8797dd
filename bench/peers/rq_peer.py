"""RQ with SimpleWorker. Its default worker forks for every job, and drains some seven times slower."""

from redis import Redis
from rq import Queue, SimpleWorker

import peer

connection = Redis.from_url(peer.REDIS)
queue = Queue(connection=connection)
TASK = "rq_peer.multiply"
BATCH = 500
CAVEAT = "SimpleWorker, without the fork per job of its default worker (some 7 times slower), so no isolation"


def multiply(a, b):
    peer.count()
    return a * b


def post():
    return queue.enqueue(TASK, 6, 7)


def post_bulk(jobs):
    for start in range(0, jobs, BATCH):
        queue.enqueue_many([Queue.prepare_data(TASK, (6, 7)) for _ in range(min(BATCH, jobs - start))])


def round_trip():
    assert post().latest_result(timeout=peer.TIMEOUT_S).return_value == 42


def work():
    SimpleWorker([queue], connection=connection).work(logging_level="ERROR")


if __name__ == "__main__":
    peer.main(peer.about("RQ", "rq", CAVEAT, bulk=True), post, work, round_trip, post_bulk)
