"""A world on each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from world import World


@pytest.fixture
def make_world(database_url: str, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Make a world on an empty database, once for SQLite and once for PostgreSQL."""
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(database_url, tmp_path / "packs", **options))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture(params=[True, False], ids=["eager", "lazy"])
def world(make_world: Callable[..., World], request: pytest.FixtureRequest) -> World:
    """A world with eager workers, and one in which every step takes a message."""
    return make_world(eager=request.param)
