"""Each rule of the language is proved by a case that names it, or by another test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from language.cases import RULES, load

ROOT = Path(__file__).parents[2]


def rules() -> dict[str, Any]:
    sections = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return {id: rule for section in sections.values() for id, rule in section.items()}


def test_each_rule_is_proved() -> None:
    """By a case, or by a test file that is there."""
    named = {rule for case in load() for rule in case.rules}
    bare = [id for id, rule in rules().items() if isinstance(rule, str) and id not in named]
    assert bare == []
    elsewhere = [rule["proved_by"] for rule in rules().values() if isinstance(rule, dict)]
    assert [path for path in elsewhere if not (ROOT / path).exists()] == []


def test_cases_name_rules_that_there_are() -> None:
    """And each case names one at least."""
    assert {rule for case in load() for rule in case.rules} - rules().keys() == set()
    assert [str(case) for case in load() if not case.rules] == []


def test_cases_have_names_of_their_own() -> None:
    """A name is a sentence that is said once."""
    names = [case.name for case in load()]
    assert sorted(names) == sorted(set(names))


def test_there_are_enough_of_them() -> None:
    """Two hundred at least, and forty that real servers play."""
    assert len(load()) >= 200
    assert sum(case.servers for case in load()) >= 40
