"""A Redis to measure on: one of our own for the run, or one that was given; and what it has done so far."""

import contextlib
import socket
import subprocess
import tempfile
import time
from typing import NamedTuple
from urllib.parse import urlsplit


class Redis:
    """As much of the protocol as INFO and FLUSHDB need, so that `run` needs no package."""

    def __init__(self, url):
        parts = urlsplit(url)
        if parts.scheme != "redis" or parts.username or parts.password:
            raise ValueError(f"{url}: only redis://host:port/db, without a password, can be measured")
        self.url = url
        self._socket = socket.create_connection((parts.hostname, parts.port or 6379), timeout=10)
        self._answers = self._socket.makefile("rb")
        self.call("SELECT", parts.path.strip("/") or "0")

    def call(self, *words):
        packed = [f"${len(word)}\r\n{word}\r\n" for word in words]
        self._socket.sendall(f"*{len(words)}\r\n{''.join(packed)}".encode())
        kind, rest = (line := self._answers.readline())[:1], line[1:].strip()
        if kind == b"-" or not line:
            raise RuntimeError(f"Redis at {self.url}: {rest.decode() or 'connection closed'}")
        if kind == b"$":
            return self._answers.read(int(rest) + 2)[:-2].decode()
        return int(rest) if kind == b":" else rest.decode()

    def info(self):
        lines = self.call("INFO", "everything").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def spent(self):
        info = self.info()
        # Redis 6 has no figures for the main thread alone.
        thread = "_main_thread" if "used_cpu_user_main_thread" in info else ""
        cpu = float(info[f"used_cpu_user{thread}"]) + float(info[f"used_cpu_sys{thread}"])
        return Spent(cpu, int(info["total_commands_processed"]))

    def is_empty(self):
        return self.call("DBSIZE") == 0

    def flush(self):
        self.call("FLUSHDB", "SYNC")


class Spent(NamedTuple):
    """CPU seconds of Redis's main thread, and commands (those inside MULTI and Lua as well)."""

    cpu: float
    commands: int

    def per_job(self, before, jobs):
        """CPU in µs, and commands."""
        return (self.cpu - before.cpu) * 1e6 / jobs, (self.commands - before.commands) / jobs


@contextlib.contextmanager
def opened(url):
    """The Redis at `url`, which has to be empty, since measuring empties it; or one of our own."""
    if url is None:
        with own() as redis:
            yield redis
        return
    redis = Redis(url)
    if not redis.is_empty():
        raise RuntimeError(f"{url} is not empty, and measuring would empty it; give an empty one")
    yield redis


@contextlib.contextmanager
def own(durable=False):
    """A redis-server on a free port of the loopback, for as long as the block runs; what it acknowledges is on disk
    if it is to be durable, else it forgets everything."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="skep-peers-redis.") as directory:
        flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        flags += ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        try:
            server = subprocess.Popen(["redis-server", *flags], stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            raise RuntimeError("no redis-server here; try: apt-get install redis-server, or --redis URL") from None
        try:
            yield _connect(f"redis://127.0.0.1:{port}/0")
        finally:
            server.terminate()
            server.wait()


def _connect(url, patience_s=10):
    give_up = time.monotonic() + patience_s
    while True:
        try:
            return Redis(url)
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
