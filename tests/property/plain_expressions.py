"""The expressions of the reference model: the few forms that generated workflows use, read as LANGUAGE 7 says.

They are written so that Python's own grammar reads them; the tree is walked, and nothing is shared with the engine.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any


def multiplied(one: Any, other: Any) -> Any:
    """Multiply numbers; texts and lists are not repeated."""
    if isinstance(one, str | list) or isinstance(other, str | list):
        raise TypeError("a number is expected")
    return one * other


def contains(many: Any, one: Any) -> bool:
    """Say whether a list, a text or the keys of a map have a value."""
    return one in list(many) if isinstance(many, dict) else one in many


NAMED = {"null": None, "true": True, "false": False, "None": None, "True": True, "False": False}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: contains(many, one),
    ast.NotIn: lambda one, many: not contains(many, one),
}
COMPUTE: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: lambda one, other: multiplied(one, other),
}


class Fault(Exception):
    """An expression that cannot be evaluated."""


class MissingField(Fault):
    """A field or a name that is not there: `default()` has an answer to it."""


def render(value: Any, scope: Mapping[str, Any]) -> Any:
    """Return a value with its templates rendered; map keys are not."""
    if isinstance(value, dict):
        return {key: render(one, scope) for key, one in value.items()}
    if isinstance(value, list):
        return [render(one, scope) for one in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    whole = re.fullmatch(r"\s*\{\{(.*)\}\}\s*", value)
    if whole and value.count("{{") == 1:
        return evaluate(whole[1], scope)
    return re.sub(r"\{\{(.*?)\}\}", lambda part: text_of(evaluate(part[1], scope)), value)


def holds(condition: Any, scope: Mapping[str, Any]) -> bool:
    """Return whether a condition is true; None is."""
    if condition is None or isinstance(condition, bool):
        return condition is not False
    whole = re.fullmatch(r"\s*\{\{(.*)\}\}\s*", condition)
    return bool(evaluate(whole[1] if whole else condition, scope))


def evaluate(text: str, scope: Mapping[str, Any]) -> Any:
    """Return the value of one expression.

    Args:
        scope: names; those whose value is a function are the words and calls of LANGUAGE 7.
    """
    value = _value(ast.parse(text.strip(), mode="eval").body, scope)
    return value() if callable(value) else value


def text_of(value: Any) -> str:
    """Return what a value is inside a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _value(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """Return the value of a node; a word such as `failed` alone is called, too."""
    found = _node(node, scope)
    return found() if callable(found) else found


def _node(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return _name(node.id, scope)
        case ast.Attribute():
            return _field(_value(node.value, scope), node.attr)
        case ast.Subscript():
            return _field(_value(node.value, scope), _value(node.slice, scope))
        case ast.List():
            return [_value(one, scope) for one in node.elts]
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {_value(key, scope): _value(one, scope) for key, one in pairs if key is not None}
        case ast.IfExp():
            return _value(node.body if _value(node.test, scope) else node.orelse, scope)
        case ast.Call():
            return _call(node, scope)
        case _:
            return _operation(node, scope)


def _operation(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.UnaryOp(op=ast.Not()):
            return not _value(node.operand, scope)
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand, scope)
        case ast.BoolOp():
            stop = isinstance(node.op, ast.Or)
            value = None
            for one in node.values:
                value = _value(one, scope)
                if bool(value) is stop:
                    break
            return value
        case ast.Compare():
            left, right = _value(node.left, scope), _value(node.comparators[0], scope)
            return _guarded(COMPARE[type(node.ops[0])], left, right)
        case ast.BinOp():
            return _guarded(COMPUTE[type(node.op)], _value(node.left, scope), _value(node.right, scope))
    raise TypeError(ast.dump(node))


def _guarded(do: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        return do(left, right)
    except TypeError as error:
        raise Fault(str(error)) from None


def _call(node: ast.Call, scope: Mapping[str, Any]) -> Any:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name == "default":
        try:
            return _value(node.args[0], scope)
        except MissingField:
            return _value(node.args[1], scope)
    if name == "length":
        return _guarded(lambda one, _: len(one), _value(node.args[0], scope), None)
    if name == "range":
        return list(range(_value(node.args[0], scope)))
    return _name(name, scope)()


def _name(name: str, scope: Mapping[str, Any]) -> Any:
    if name in NAMED:
        return NAMED[name]
    if name not in scope:
        raise MissingField(name)
    return scope[name]


def _field(value: Any, name: Any) -> Any:
    if isinstance(value, dict) and isinstance(name, str) and name in value:
        return value[name]
    number = isinstance(name, int) and not isinstance(name, bool)
    if isinstance(value, list | str) and number and -len(value) <= name < len(value):
        return value[name]
    raise MissingField(str(name))
