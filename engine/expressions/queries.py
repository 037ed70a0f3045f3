"""`json_query`: JMESPath over JSON values, with every loop paid for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jmespath
import jmespath.exceptions
import jmespath.functions
import jmespath.visitor

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import MAX_QUOTED, Fault, quoted
from dramaturg.engine.expressions.registry import Registry
from dramaturg.engine.expressions.sandbox import Frame, admit, weigh

QUERIES = Registry()

#: Longest query, in characters.
MAX_QUERY = 2_000
#: What reads its arguments deep, so that shared parts count as often as they are met.
_DEEP = frozenset({"contains", "join", "to_string"})
#: Nodes that make a list or map that was not there.
_BUILDING = frozenset(
    {
        "filter_projection",
        "flatten",
        "function_expression",
        "multi_select_dict",
        "multi_select_list",
        "projection",
        "slice",
        "value_projection",
    }
)


@lru_cache(maxsize=512)
def compile_query(query: str) -> Any:
    """Return the syntax tree of a query.

    Raises:
        Fault: it is no JMESPath, or is too long.
    """
    if len(query) > MAX_QUERY:
        raise Fault(f"the query is longer than {MAX_QUERY:,} characters")
    try:
        return jmespath.compile(query).parsed
    except RecursionError:
        raise Fault("the query is nested too deep") from None
    except (jmespath.exceptions.JMESPathError, ValueError) as error:
        reason = (str(error).splitlines() or ["invalid"])[0][:MAX_QUOTED]
        raise Fault(f"{quoted(query)} is not JMESPath: {reason}") from None


def check_query(query: JSON) -> None:
    """Raise a Fault for a constant that is no query."""
    if isinstance(query, str):
        compile_query(query)


class _Functions(jmespath.functions.Functions):
    """JMESPath's functions, paid for before they run."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> JSON:
        arguments = list(resolved_args)
        for argument in arguments:
            if function_name in _DEEP:
                self.frame.build(weigh(argument, self.frame.built))
            elif isinstance(argument, list | dict | str):
                self.frame.step(len(argument))
        if function_name == "join" and [type(argument) for argument in arguments] == [str, list]:
            self.frame.build(len(arguments[0]) * len(arguments[1]))
        return super().call_function(function_name, arguments)


class _Interpreter(jmespath.visitor.TreeInterpreter):
    """JMESPath's interpreter, paying for each node that it visits and for what the node makes."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(jmespath.Options(custom_functions=_Functions(frame)))
        self.frame = frame

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self.frame.step(5)
        found = super().visit(node, *args, **kwargs)
        if node["type"] in _BUILDING and type(found) in (list, dict):
            self.frame.build(len(found))
        return found

    def visit_comparator(self, node: Any, value: Any) -> Any:
        sides = [self.visit(child, value) for child in node["children"]]
        self.frame.step(sum(weigh(side, self.frame.steps) for side in sides))
        known: Any = [{"type": "literal", "value": side, "children": []} for side in sides]
        return super().visit_comparator(node | {"children": known}, value)


@QUERIES.add("json_query", loops=False, checks={"query": check_query})
def json_query(frame: Frame, value: JSON, query: str) -> JSON:
    """Return what a JMESPath query finds in a value."""
    tree = compile_query(query)
    try:
        return admit(frame, _Interpreter(frame).visit(tree, value))
    except RecursionError:
        raise Fault("the query is nested too deep") from None
    except jmespath.exceptions.JMESPathError as error:
        reason = (str(error).splitlines() or ["it fails"])[0][:MAX_QUOTED]
        raise Fault(f"json_query(): {reason}") from None
