"""Calls that are more than a function of values: they look at their arguments before those have values.

`default` and `is defined` catch what is missing; `map`, `select`, `reject`, `selectattr` and `rejectattr` name
another function or test, which must be a literal, so that it is known when the expression is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault, Missing, did_you_mean
from dramaturg.engine.expressions.functions import FUNCTIONS, TESTS
from dramaturg.engine.expressions.lists import Path, attribute_of, dig, present
from dramaturg.engine.expressions.registry import Function
from dramaturg.engine.expressions.sandbox import Evaluate, Frame, name_type

#: What a form gets: the compiled arguments, those with a name, and what is literal among either.
Arguments = Sequence[Evaluate]
Named = Mapping[str, Evaluate]
Literals = Mapping[Evaluate, JSON]
Form = Callable[[Arguments, Named, Literals], Evaluate]


def bind(function: Function, given: Arguments, named: Named, literals: Literals) -> Evaluate:
    """Return what calls *function*.

    Raises:
        Fault: the arguments don't fit its signature, or a literal one can't be right.
    """
    arranged = function.arrange(given, named)
    _check(function, arranged, literals)
    fixed = [constant(p.default) for p in function.parameters]
    filled = [a if a is not None else fixed[i] for i, a in enumerate(arranged)]
    invoke = function.invoke
    if len(filled) == 1:
        only = filled[0]
        return lambda frame: invoke(frame, (only(frame),))
    return lambda frame: invoke(frame, [argument(frame) for argument in filled])


def _check(function: Function, arranged: Sequence[Evaluate | None], literals: Literals) -> None:
    """Raise a Fault for a literal argument that can't be right."""
    for parameter, argument in zip(function.parameters, arranged, strict=False):
        if parameter.name in function.checks and argument is not None and argument in literals:
            function.checks[parameter.name](literals[argument])


def constant(value: JSON) -> Evaluate:
    """Return what always has one value."""
    return lambda frame: value


def _default(given: Arguments, named: Named, literals: Literals) -> Evaluate:
    arranged = FUNCTIONS["default"].arrange(given, named)
    value, other, also_false = arranged
    assert value is not None
    instead: Evaluate = other or constant("")

    def evaluate(frame: Frame) -> JSON:
        try:
            found = value(frame)
        except Missing:
            return instead(frame)
        if found or also_false is None or not also_false(frame):
            return found
        return instead(frame)

    return evaluate


def is_defined(value: Evaluate) -> Evaluate:
    """Return what says whether *value* is there."""

    def evaluate(frame: Frame) -> JSON:
        try:
            value(frame)
        except Missing:
            return False
        return True

    return evaluate


def _map(given: Arguments, named: Named, literals: Literals) -> Evaluate:
    if not given:
        raise Fault("map() wants a list")
    if "attribute" in named:
        return _map_attribute(given, named)
    function = _literal_name("map", "a function", given, literals, FUNCTIONS)
    return _for_each(given[0], _partly(function, given[2:], named, literals))


def _map_attribute(given: Arguments, named: Named) -> Evaluate:
    left_over = set(named) - {"attribute", "default"}
    if left_over or len(given) > 1:
        raise Fault("map(attribute=...) takes a list, and 'default' beside it")
    source, attribute, other = given[0], named["attribute"], named.get("default")

    def evaluate(frame: Frame) -> JSON:
        elements, path = _elements("map", source, frame), _path("map", attribute, frame)
        frame.build(len(elements))
        frame.step(len(elements))
        if other is None:
            return [attribute_of(element, path) for element in elements]
        found = [dig(element, path) for element in elements]
        instead = other(frame)
        return [value if present(value) else instead for value in found]

    return evaluate


def _for_each(source: Evaluate, apply: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> JSON:
        elements = _elements("map", source, frame)
        call = apply(frame)
        frame.build(len(elements))
        return [call(element) for element in elements]

    return evaluate


def _partly(function: Function, given: Arguments, named: Named, literals: Literals) -> Evaluate:
    """Return what evaluates the further arguments once and returns a Python function of the first."""
    cell: list[JSON] = [None]
    bound = function.arrange([constant(cell), *given], named)
    _check(function, bound, literals)
    rest = [a if a is not None else constant(function.parameters[i].default) for i, a in enumerate(bound)][1:]

    def evaluate(frame: Frame) -> Callable[[JSON], JSON]:
        values = [argument(frame) for argument in rest]
        return lambda element: function.invoke(frame, [element, *values])

    return evaluate


def _choosing(name: str, keep: bool, by_attribute: bool) -> Form:
    def build(given: Arguments, named: Named, literals: Literals) -> Evaluate:
        wanted = 2 if by_attribute else 1
        if len(given) < wanted or (named and len(given) <= wanted):
            raise Fault(f"{name}() wants a list" + (" and the name of an attribute" if by_attribute else ""))
        test = None
        if len(given) > wanted:
            test = _literal_name(name, "a test", given[wanted - 1 :], literals, TESTS)
        apply = constant(bool) if test is None else _partly(test, given[wanted + 1 :], named, literals)
        asks = test.name if test is not None and test.name in ("defined", "undefined") else None
        attribute = given[1] if by_attribute else None
        return _choose(name, keep, given[0], attribute, apply, asks if test else "")

    return build


def _choose(
    name: str, keep: bool, source: Evaluate, attribute: Evaluate | None, apply: Evaluate, absent: str | None
) -> Evaluate:
    """Return what keeps the elements for which *apply* is *keep*.

    *absent* is what an element without the attribute means: "" not true, "defined" and "undefined" what they
    ask, None a fault.
    """

    def decide(element: JSON, path: Path | None, call: Callable[[JSON], Any]) -> bool:
        if path is None:
            return bool(call(element))
        if absent is None:
            return bool(call(attribute_of(element, path)))
        found = dig(element, path)
        return bool(call(found)) if present(found) else absent == "undefined"

    def evaluate(frame: Frame) -> JSON:
        elements = _elements(name, source, frame)
        path = _path(name, attribute, frame) if attribute else None
        call = apply(frame)
        frame.step(len(elements))
        frame.build(len(elements))
        return [element for element in elements if decide(element, path, call) is keep]

    return evaluate


def _elements(name: str, source: Evaluate, frame: Frame) -> list[JSON]:
    elements = source(frame)
    if type(elements) is not list:
        raise Fault(f"{name}() wants a list, not {name_type(elements)}")
    return elements


def _path(name: str, attribute: Evaluate, frame: Frame) -> Path:
    path = attribute(frame)
    if type(path) is str or type(path) is int:
        return path
    raise Fault(f"{name}() wants the name of an attribute, not {name_type(path)}")


def _literal_name(
    form: str, what: str, given: Arguments, literals: Literals, known: Mapping[str, Function]
) -> Function:
    """Return the function or test that the second of *given* names."""
    name = literals.get(given[1]) if len(given) > 1 else None
    if type(name) is not str:
        raise Fault(f"{form}() wants the name of {what}, written as a text")
    if name in FORMS and name not in known:
        raise Fault(f"{name!r} can't be used inside {form}()")
    if name not in known:
        raise Fault(f"there is no {what[2:]} {name!r}", hint=did_you_mean(name, known))
    return known[name]


#: name -> form; they go before the functions of the same name.
FORMS: dict[str, Form] = {
    "default": _default,
    "d": _default,
    "map": _map,
    "select": _choosing("select", True, False),
    "reject": _choosing("reject", False, False),
    "selectattr": _choosing("selectattr", True, True),
    "rejectattr": _choosing("rejectattr", False, True),
}
