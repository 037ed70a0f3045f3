"""Fixtures that more than one folder of tests uses: real servers, and a fresh database for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from psycopg import sql
from servers import PostgresServer, RedisServer, close_keeper

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers() -> Iterator[None]:
    yield
    close_keeper()


@pytest.fixture(scope="session")
def redis_url(_no_leftovers: None) -> Iterator[str]:
    """The URL of a Redis server that all tests share; see `redis_database`."""
    if url := os.environ.get("DRAMATURG_TEST_REDIS_URL"):
        yield url
        return
    with RedisServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_url(_no_leftovers: None) -> Iterator[str]:
    """The URL of a PostgreSQL server that all tests share; see `postgres_database`."""
    if url := os.environ.get("DRAMATURG_TEST_POSTGRES_URL"):
        yield url
        return
    with PostgresServer() as server:
        yield server.url


@pytest.fixture
def redis_database(redis_url: str) -> str:
    """The URL of an empty Redis database; it is emptied, so the next test is not to use it at once."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    return redis_url


@pytest.fixture(scope="session")
def new_postgres_database(postgres_url: str) -> Callable[[], AbstractContextManager[str]]:
    """Make an empty PostgreSQL database that is there as long as a context lasts: for what several tests share."""

    @contextmanager
    def make() -> Iterator[str]:
        name = f"dramaturg_test_{os.getpid()}_{next(_numbers)}"
        quoted = sql.Identifier(name)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(quoted))
            try:
                yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
            finally:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))

    return make


@pytest.fixture
def postgres_database(new_postgres_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database that is dropped after the test."""
    with new_postgres_database() as url:
        yield url


@pytest.fixture
def sqlite_database(tmp_path: Path) -> str:
    """The URL of an SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'dramaturg.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once for each kind that Dramaturg knows."""
    return str(request.getfixturevalue(f"{request.param}_database"))


@pytest.fixture
def redis_server() -> Iterator[Callable[..., RedisServer]]:
    """Make Redis servers of this test's own, to be stopped, killed and restarted: ``redis_server()``."""
    made: list[RedisServer] = []

    def make(*, durable: bool = False) -> RedisServer:
        made.append(RedisServer(durable=durable))
        return made[-1].start()

    yield make
    for server in made:
        server.close()


@pytest.fixture
def postgres_server() -> Iterator[Callable[[], PostgresServer]]:
    """Make PostgreSQL servers of this test's own, to be stopped, killed and restarted."""
    made: list[PostgresServer] = []

    def make() -> PostgresServer:
        made.append(PostgresServer())
        return made[-1].start()

    yield make
    for server in made:
        server.close()
