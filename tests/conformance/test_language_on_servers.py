"""A chosen part of the language's cases on every backend: PostgreSQL and Redis, and SQLite; real workers, eager and not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
import redis
from actor_fakes import our_threads
from language.cases import Case, load
from language.in_threads import PATIENCE, Cast
from language.in_world import seen
from language.library import Library
from language.seen import differences

from dramaturg import Client
from dramaturg.engine.config import load_settings
from dramaturg.engine.service import Service

CHOSEN = tuple(case for case in load() if case.servers)

BACKENDS = [
    pytest.param((database, eager), id=f"{database}-{'eager' if eager else 'not eager'}")
    for database in ("sqlite", "postgres and redis")
    for eager in (True, False)
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The packs of the chosen cases."""
    return Library(tmp_path_factory.mktemp("packs"), CHOSEN)


@pytest.fixture(scope="module", params=BACKENDS)
def cast(
    request: pytest.FixtureRequest,
    library: Library,
    tmp_path_factory: pytest.TempPathFactory,
    new_postgres_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
) -> Iterator[Cast]:
    """One backend on which every run is under way."""
    database, eager = request.param
    given: dict[str, Any] = {"eager": eager, "packs": (library.folder,)}
    with ExitStack() as ending:
        if database == "sqlite":
            given["database_url"] = f"sqlite:///{tmp_path_factory.mktemp('database') / 'dramaturg.db'}"
        else:
            given["database_url"] = ending.enter_context(new_postgres_database())
            with redis.Redis.from_url(redis_url) as connection:
                connection.flushdb()
            given["broker_url"] = redis_url
        service = Service.open(load_settings(**given), migrate=True)
        service.register()
        service.close()
        client = ending.enter_context(Client(**given))
        cast = Cast(client, [case for case in CHOSEN if case.pack in library.packs])
        ending.enter_context(cast.working())
        cast.start()
        yield cast
    assert our_threads() == []


@pytest.mark.parametrize("case", [pytest.param(case, id=str(case)) for case in CHOSEN])
def test_real_workers_do_what_the_case_says(case: Case, library: Library, cast: Cast) -> None:
    """The same path, outcome, output and errors; and `replay` equals the tables."""
    assert library.problems.get(case.pack, []) == []
    service = cast.service
    assert cast.left[case.pack] == []
    service.wait(case.run_id, PATIENCE)
    assert differences(case.expect, seen(service, case), late=PATIENCE) == []
    assert service.verify(case.run_id) == []
