"""Definitions from text: YAML in, the model out, or every problem at once.

Reading goes in steps, each of which goes on after a problem: the text becomes a tree with places (`yamltree.py`), the
tree becomes the model (`actions.py`, `workflows.py`, `tasks.py`), then expressions (`inspect.py`) and the parts'
fit (`checks.py`) are checked. What a pack must fulfil as a whole is checked by its loader.
"""

from __future__ import annotations

from dramaturg.engine.language.actions import read_action
from dramaturg.engine.language.fields import Draft
from dramaturg.engine.language.model import ActionDef, WorkflowDef
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.stored import (
    action_from_json,
    action_to_json,
    digest_of,
    workflow_from_json,
    workflow_to_json,
)
from dramaturg.engine.language.workflows import read_workflow
from dramaturg.engine.language.yamltree import read

__all__ = [
    "action_from_json",
    "action_to_json",
    "digest_of",
    "parse_action",
    "parse_workflow",
    "workflow_from_json",
    "workflow_to_json",
]


def parse_workflow(
    text: str | bytes, path: str = "", *, ref: str | None = None, report: Report | None = None
) -> WorkflowDef:
    """Read a workflow in one file.

    Args:
        path: the file, as problems name it.
        ref: what the file's place says; without it the text must have a `ref`.
        report: gets the problems, warnings too.
    Raises:
        DefinitionError: with every problem.
    """
    report = report or Report()
    node = read(text, path, report)
    source = read_workflow(node, Draft(report=report), ref) if node is not None else None
    report.raise_if_failed()
    assert source is not None, "without a tree there is a problem"
    return source.definition


def parse_action(
    text: str | bytes, path: str = "", *, ref: str | None = None, report: Report | None = None
) -> ActionDef:
    """Read an action that is no workflow.

    Args:
        path: the file, as problems name it.
        ref: what the file's place says; without it the text must have a `ref`.
        report: gets the problems, warnings too.
    Raises:
        DefinitionError: with every problem.
    """
    report = report or Report()
    node = read(text, path, report)
    action = read_action(node, Draft(report=report), ref) if node is not None else None
    report.raise_if_failed()
    assert action is not None, "without a tree there is a problem"
    return action
