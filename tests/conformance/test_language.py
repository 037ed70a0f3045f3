"""The language, case by case: `language/*.yaml` says what each workflow does; everybody who plays it must agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from language.cases import Case, differences, load
from language.in_memory import Play, manners
from language.library import Library

CASES = [pytest.param(case, id=str(case)) for case in load()]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Every case's pack, loaded once."""
    return Library(tmp_path_factory.mktemp("packs"), load())


@pytest.mark.parametrize("case", CASES)
def test_the_interpreter_does_what_the_case_says(case: Case, library: Library) -> None:
    """In whatever order siblings end, however many inputs are applied at once, whatever is loaded before."""
    found = {}
    for manner in manners(case):
        play = Play(case, manner=manner, **library.means(case))
        found[manner.name] = differences(case.expect, play.play(), exact_time=True)
    assert {name: texts for name, texts in found.items() if texts} == {}
