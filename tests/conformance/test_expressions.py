"""The expression language, case by case: `expressions/*.yaml` says what each text is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from scopes import EVERYTHING, DataScope

from dramaturg.engine.expressions.compile import (
    EvaluationError,
    ExpressionSyntaxError,
    Template,
    compile_condition,
    compile_value,
)

FOLDER = Path(__file__).parent / "expressions"
FILES = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.stem != "hostile"
}
CASES = [
    pytest.param(file["given"], case, id=f"{name}:{case.get('condition', case.get('template'))!s:.70}")
    for name, file in FILES.items()
    for case in file["cases"]
]


def compiled(case: dict[str, Any]) -> Template:
    if "condition" in case:
        template = compile_condition(case["condition"], "here", EVERYTHING)
        assert template is not None
        return template
    return compile_value(case["template"], "here", EVERYTHING)


@pytest.mark.parametrize(("given", "case"), CASES)
def test_an_expression_is_worth_what_its_case_says(given: dict[str, Any], case: dict[str, Any]) -> None:
    """Value and type, or the kind of error and words of its message."""
    scope = DataScope(**{**given, **case.get("given", {})})
    if "syntax" in case:
        with pytest.raises(ExpressionSyntaxError) as refused:
            compiled(case)
        assert case["syntax"] in str(refused.value)
        if "offset" in case:
            assert refused.value.problems[0].offset == case["offset"]
    elif "error" in case:
        template = compiled(case)
        with pytest.raises(EvaluationError) as failed:
            template.render(scope)
        assert case["error"] in failed.value.message
    else:
        value = compiled(case).render(scope)
        assert (value, type(value)) == (case["value"], type(case["value"]))
        assert compiled(case).test(scope) is bool(case["value"])
