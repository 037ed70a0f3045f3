"""Whether the expressions of a workflow can be compiled, and whether the names in them exist.

Everything is compiled here exactly as `program.py` will compile it, so that a definition that is accepted runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from jinja2 import nodes

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.compile import compile_condition, compile_value
from dramaturg.engine.expressions.faults import ExpressionSyntaxError, Fault, SyntaxProblem
from dramaturg.engine.expressions.names import VARIABLES
from dramaturg.engine.expressions.scope import Names
from dramaturg.engine.expressions.syntax import Piece, parse, split
from dramaturg.engine.language.fields import Draft, NamesOf, Spot
from dramaturg.engine.language.model import Position, WorkflowDef
from dramaturg.engine.language.schema import near_or_known
from dramaturg.engine.language.scopes import Scopes
from dramaturg.engine.language.source import Node

#: Name -> what it may be asked for.
Known = Mapping[str, Collection[str]]


def check_expressions(workflow: WorkflowDef, draft: Draft, config: Collection[str] | None = None) -> None:
    """Report every expression that can't be compiled and every name in one that does not exist.

    Args:
        config: names of the pack's configuration; None: not known here.
    """
    scopes = Scopes(workflow)
    known: dict[str, Collection[str]] = {}
    if workflow.parameters is not None:
        known["parameters"] = tuple(workflow.parameters)
    if config is not None:
        known["config"] = config
    failed = False
    for spot in draft.spots:
        if draft.report.full:
            return
        if not spot.derived:
            failed |= _check(spot, _names(scopes, spot.names), known, draft)
    for spot in draft.spots:
        # What was made out of broken parts is broken, too: nothing is said twice.
        if spot.derived and not failed:
            _check(spot, _names(scopes, spot.names), {}, draft)


#: Roots that an action does not know: they are of the run around it.
_OF_THE_RUN = VARIABLES | {"parameters", "config", "system"}


def check_attempt(draft: Draft) -> None:
    """Report what is wrong with `retry.when` of an action: all that it may name is how an attempt ended."""
    for spot in draft.spots:
        if _check(spot, Scopes.attempt(), {}, draft):
            continue
        for place, node in spot.node.scalars(spot.place):
            for name, offset in _roots(node.value, spot.kind == "condition"):
                message = (
                    f"{place}: an action does not know `{name}`; only result(), error() and how it ended"
                )
                hint = "write the condition at the task"
                draft.report.error("expression.name", message, node.within(offset), hint)


def _roots(text: JSON, condition: bool) -> Iterator[tuple[str, int]]:
    """Give the names of the run in an expression: (name, offset)."""
    if isinstance(text, str):
        for tree in expressions(text, condition):
            for node in tree.find_all(nodes.Name):
                if node.name in _OF_THE_RUN:
                    yield node.name, node.lineno


def _names(scopes: Scopes, which: NamesOf) -> Names:
    kind, argument = which
    if kind == "initial":
        return scopes.initial(int(argument))
    if kind == "input":
        return scopes.input(str(argument))
    places = {"run": scopes.run, "task": scopes.task, "outcome": scopes.outcome, "output": scopes.output}
    return places[kind]()


def _check(spot: Spot, names: Names, known: Known, draft: Draft) -> bool:
    """Report the problems of one value; say whether there were any."""
    value: JSON = spot.node.plain() if spot.text is None else spot.text
    try:
        if spot.kind == "condition":
            compile_condition(value, spot.place, names)
        else:
            compile_value(value, spot.place, names)
    except ExpressionSyntaxError as error:
        places = dict(spot.node.scalars(spot.place))
        for problem in error.problems:
            if draft.report.full:
                break
            at = _position(spot, places.get(problem.place, spot.node), problem)
            code = _code(problem)
            draft.report.error(code, f"{problem.place}: {problem.message}", at, problem.hint)
        return True
    found = False
    for place, node in spot.node.scalars(spot.place):
        found |= _unknown_fields(spot, place, node, known, draft)
    return found


def _code(problem: SyntaxProblem) -> str:
    return "expression.name" if problem.message.startswith("there is no") else "expression.syntax"


def _position(spot: Spot, node: Node, problem: SyntaxProblem) -> Position:
    return spot.node.at if spot.derived else node.within(problem.offset + spot.shift)


def _unknown_fields(spot: Spot, place: str, node: Node, known: Known, draft: Draft) -> bool:
    text = node.value if spot.text is None else spot.text
    if not isinstance(text, str) or not known:
        return False
    found = False
    for root, key, offset in _fields(text, spot.kind == "condition"):
        if root in known and key not in known[root]:
            hint = near_or_known(key, known[root])
            message = f"{place}: {root} has no '{key}'"
            draft.report.error("expression.name", message, node.within(offset + spot.shift), hint)
            found = True
    return found


def _fields(text: str, condition: bool) -> Iterator[tuple[str, str, int]]:
    """Give the literal first fields of names in the expressions of a text: (name, field, offset of the field)."""
    for tree in expressions(text, condition):
        for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
            step = _step(node)
            if step is not None:
                yield step


def _step(node: nodes.Node) -> tuple[str, str, int] | None:
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return node.node.name, node.attr, node.lineno + 1
    if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Name):
        key = node.arg.value if isinstance(node.arg, nodes.Const) else None
        return (node.node.name, key, node.lineno + 1) if isinstance(key, str) else None
    return None


def expressions(text: str, condition: bool) -> Iterator[nodes.Node]:
    """Give the syntax trees of the expressions in a text; none if they can't be read."""
    try:
        if condition and "{{" not in text:
            pieces = [Piece(text, 0, True)]
        else:
            pieces = [piece for piece in split(text) if piece.expression] if "{{" in text else []
        for piece in pieces:
            tree = parse(piece.text, piece.offset)
            # The walk of a syntax tree gives what is below a node: this one is to be found, too.
            yield nodes.Output([tree], lineno=0)
    except Fault:
        return
