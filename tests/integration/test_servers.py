"""The servers that the other tests stand on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
import servers
from servers import PostgresServer, RedisServer


def test_a_redis_database_is_empty_and_real(redis_database: str) -> None:
    """Redis answers, and starts without keys."""
    with redis.Redis.from_url(redis_database) as client:
        assert client.dbsize() == 0
        client.set("left", "over")


def test_a_redis_database_does_not_see_the_test_before(redis_database: str) -> None:
    """What the test above has written is gone."""
    with redis.Redis.from_url(redis_database) as client:
        assert client.get("left") is None


@pytest.mark.parametrize("turn", [1, 2])
def test_a_postgres_database_is_new_for_each_test(postgres_database: str, turn: int) -> None:
    """A table of one turn is not there in the next."""
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE once (x int)")


def test_a_durable_redis_keeps_its_data_when_killed(redis_server: Callable[..., RedisServer]) -> None:
    """kill -9 and start: same URL, same keys."""
    server = redis_server(durable=True)
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    server.kill()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"


def test_a_killed_postgres_keeps_what_was_committed(postgres_server: Callable[[], PostgresServer]) -> None:
    """kill -9 and start: same URL, same rows."""
    server = postgres_server()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS x")
    server.kill()
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (7,)


def test_no_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any server the error names all ways to get one."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(servers, "in_wheel", lambda *_: None)
    with pytest.raises(servers.NoServer, match="apt-get install redis-server"):
        servers.find_redis()


STARTS_AND_HANGS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from servers import RedisServer
server = RedisServer().start()
print(server.process.pid, server.folder, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_test_run_that_is_killed_leaves_nothing_behind(signum: int) -> None:
    """The keeper ends the server and removes its folder, whatever ended the test run."""
    here = Path(servers.__file__).parent
    command = [sys.executable, "-c", STARTS_AND_HANGS, str(here)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        run.send_signal(signum)
    deadline = time.monotonic() + 30
    while Path(folder).exists() or _alive(int(pid)):
        assert time.monotonic() < deadline, "the server or its folder is still there"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False
    # A dead process that its parent has not asked about yet is dead.
    return b") Z " not in state
