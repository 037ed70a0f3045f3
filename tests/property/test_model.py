"""The engine and a slow and obvious model agree on every run (DESIGN 4 against LANGUAGE)."""

from __future__ import annotations

from comparison import Case, check
from effort import effort
from hypothesis import given
from workflows import cases


@given(cases())
@effort(2.5)
def test_the_engine_does_what_the_model_does(case: Case) -> None:
    """Visits, attempts, items, variables, outcome, errors, output, and what runs at any time."""
    check(case)
