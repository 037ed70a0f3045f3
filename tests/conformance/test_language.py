"""The language, case by case: `language/*.yaml` says what each workflow does; everybody who plays it must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from language.cases import Case, load
from language.in_memory import Play, manners
from language.in_world import Conductor
from language.library import Library
from language.seen import differences
from world import World

#: Seconds that a run on a database may take longer than it says: the time that passes is this machine's.
LATE = 2.0

CASES = [pytest.param(case, id=str(case)) for case in load()]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Every case's pack, loaded once."""
    return Library(tmp_path_factory.mktemp("packs"), load())


@pytest.fixture(scope="module")
def conductors(
    library: Library, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[bool], Conductor]]:
    """Give the conductor of a database that knows all packs, or make a new one."""
    made: list[Conductor] = []

    def conductor(fresh: bool) -> Conductor:
        if fresh or not made:
            file = tmp_path_factory.mktemp("database") / "dramaturg.db"
            world = World(f"sqlite:///{file}", library.folder)
            world.service.register()
            made.append(Conductor(world))
        return made[-1]

    yield conductor
    for one in made:
        one.world.close()


@pytest.mark.parametrize("case", CASES)
def test_the_interpreter_does_what_the_case_says(case: Case, library: Library) -> None:
    """In whatever order siblings end, however many inputs are applied at once, whatever is loaded before."""
    found = {}
    for manner in manners(case):
        play = Play(case, manner=manner, **library.means(case))
        found[manner.name] = differences(case.expect, play.play(), late=0.0)
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize("case", CASES)
def test_a_database_and_a_host_do_what_the_case_says(
    case: Case, library: Library, conductors: Callable[[bool], Conductor]
) -> None:
    """The same by real steps on SQLite, and the history of every run agrees with the tables."""
    assert library.problems.get(case.pack, []) == []
    conductor = conductors(False)
    try:
        run = conductor.play(case)
        assert differences(case.expect, run, late=LATE) == []
        assert conductor.service.verify(case.run_id) == []
    except BaseException:
        # What is left of it is not to be in the way of others.
        conductor.abandon()
        conductors(True)
        raise
