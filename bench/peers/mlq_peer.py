"""MLQ's design in a few lines: its Redis commands and its records, since MLQ itself no longer installs.

post = INCR + MULTI(RPUSH, LPUSH, SET); consume = BRPOPLPUSH, SET, PUBLISH, SET, LREM, LREM, one round trip each.
"""

import functools
import time
import uuid

import msgpack
from redis import Redis

import peer

redis = Redis.from_url(peer.REDIS)
WAITING, RUNNING, UNFINISHED, LAST_ID = "mlq", "mlq_processing", "mlq_jobsrefs", "mlq_max_id"
CAVEAT = "written anew, with the fastest redis-py; a job lost with its worker stays lost, no retry, results kept for ever"


def record(job):
    return f"mlq_progress_{job}"


def channel(job):
    return f"pub_{job}"


def multiply(message):
    peer.count()
    return message["a"] * message["b"]


def post():
    job = str(redis.incr(LAST_ID))
    unset = dict.fromkeys(
        ["worker", "processing_started", "processing_finished", "progress", "short_result", "result", "callback"]
    )
    packed = msgpack.packb(
        {"id": job, "timestamp": time.time(), **unset, "retries": 0, "functions": None, "msg": {"a": 6, "b": 7}}
    )
    with redis.pipeline(transaction=True) as together:
        together.rpush(UNFINISHED, job).lpush(WAITING, packed).set(record(job), packed).execute()
    return job


def work():
    worker = str(uuid.uuid1())
    while True:
        packed = redis.brpoplpush(WAITING, RUNNING, timeout=0)
        job = msgpack.unpackb(packed)
        job |= {"worker": worker, "processing_started": time.time(), "progress": 0}
        redis.set(record(job["id"]), msgpack.packb(job))
        result = multiply(job["msg"])
        job |= {"worker": None, "short_result": result, "result": result}
        redis.publish(channel(job["id"]), result)
        job |= {"progress": 100, "processing_finished": time.time()}
        redis.set(record(job["id"]), msgpack.packb(job))
        redis.lrem(RUNNING, -1, packed)
        redis.lrem(UNFINISHED, 1, job["id"])


@functools.cache
def results():
    """Listens before anything is posted: MLQ listens after, and waits for ever when the result was quicker."""
    news = redis.pubsub(ignore_subscribe_messages=True)
    news.psubscribe(channel("*"))
    news.get_message(timeout=peer.TIMEOUT_S)
    return news


def round_trip():
    news = results()
    job = post()
    message = news.get_message(timeout=peer.TIMEOUT_S)
    assert (message["channel"].decode(), message["data"]) == (channel(job), b"42")


if __name__ == "__main__":
    facts = peer.about("MLQ's design", "redis", CAVEAT)
    facts["version"] = f"redis-py {facts['version']}"
    peer.main(facts, post, work, round_trip)
