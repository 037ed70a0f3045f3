"""The engine and a slow and obvious model agree on every run (DESIGN 4 against LANGUAGE)."""

from __future__ import annotations

import pytest
from comparison import Case, check
from effort import effort
from hypothesis import given
from tricky import CASES
from workflows import cases


@given(cases())
@effort(2.5)
def test_the_engine_does_what_the_model_does(case: Case) -> None:
    """Visits, attempts, items, variables, outcome, errors, output, and what runs at any time."""
    check(case)


@pytest.mark.parametrize("case", CASES)
def test_they_agree_on_what_a_random_search_seldom_meets(case: Case) -> None:
    """Cases that somebody has thought of."""
    check(case)
