"""How functions and tests are registered, checked and called.

A function takes the frame and JSON values and returns a JSON value. What it declares in its signature is
checked for it: the number and names of arguments when an expression is compiled, their types when it runs.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import MAX_QUOTED, Fault
from dramaturg.engine.expressions.sandbox import NOT_LOOKED_AT, Frame, name_type
from dramaturg.engine.secret import Secret, holds

_F = TypeVar("_F", bound=Callable[..., JSON])
_T = TypeVar("_T")

#: What annotations of parameters stand for.
_KINDS: dict[object, tuple[frozenset[type], str]] = {
    str: (frozenset({str}), "a text"),
    int: (frozenset({int}), "an integer"),
    float: (frozenset({int, float}), "a number"),
    bool: (frozenset({bool}), "a boolean"),
    list: (frozenset({list}), "a list"),
    dict: (frozenset({dict}), "a map"),
    type(None): (frozenset({type(None)}), "null"),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function, as its signature declares it."""

    name: str
    #: Allowed Python types; None: anything.
    kinds: frozenset[type] | None
    wanted: str
    required: bool
    default: JSON
    #: Whether it is given by name only.
    keyword: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function or test that expressions may call."""

    name: str
    call: Callable[..., JSON]
    parameters: tuple[Parameter, ...]
    #: What `*args` takes; None: the function takes no further arguments.
    rest: Parameter | None
    #: Whether its work grows with its arguments; its steps are then paid for with each call.
    loops: bool
    #: Parameter -> what raises a Fault for a value that can't be right; asked early, where it is a constant.
    checks: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)

    @property
    def positional(self) -> int:
        """Return how many parameters can be given by position; they come first."""
        return sum(not parameter.keyword for parameter in self.parameters)

    def arrange(self, given: Sequence[_T], named: Mapping[str, _T]) -> list[_T | None]:
        """Return the arguments in the order of the signature, None for what is left out, then the rest.

        Raises:
            Fault: there are too many or too few, or one has an unknown name.
        """
        places = [p.name for p in self.parameters if not p.keyword]
        if len(given) > len(places) and self.rest is None:
            raise Fault(f"{self.name}() takes {_count(len(places))}, and gets {len(given)}")
        found: dict[str, _T] = dict(zip(places, given, strict=False))
        for name, value in named.items():
            if name not in (p.name for p in self.parameters):
                raise Fault(f"{self.name}() has no argument {name!r}")
            if name in found:
                raise Fault(f"{self.name}() gets its argument {name!r} twice")
            found[name] = value
        for parameter in self.parameters:
            if parameter.required and parameter.name not in found:
                raise Fault(f"{self.name}() wants an argument {parameter.name!r}")
        return [found.get(p.name) for p in self.parameters] + list(given[len(places) :])

    def invoke(self, frame: Frame, values: Sequence[JSON]) -> JSON:
        """Call with values in the order of :meth:`arrange`, after checking and paying for them.

        Raises:
            Fault: an argument is of the wrong type, the budget is used up, or the function has no value.
        """
        cost, parameters = 2, self.parameters
        for index, value in enumerate(values):
            if type(value) is Secret:
                raise Fault(NOT_LOOKED_AT)
            parameter = parameters[index] if index < len(parameters) else self.rest
            if parameter is not None and parameter.kinds is not None and type(value) not in parameter.kinds:
                # What was left out has its default, whatever type that is.
                if parameter.required or value is not parameter.default:
                    raise Fault(
                        f"{self.name}() wants {parameter.wanted} as {parameter.name!r}, not {name_type(value)}"
                    )
            elif self.loops:
                cost += _size(value)
        frame.step(cost)
        try:
            if self.rest is None:
                return self.call(frame, *values)
            split, fixed = self.positional, len(parameters)
            named = {p.name: v for p, v in zip(parameters[split:], values[split:fixed], strict=True)}
            return self.call(frame, *values[:split], *values[fixed:], **named)
        except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            if any(map(holds, values)):
                raise Fault(NOT_LOOKED_AT) from None
            raise Fault(f"{self.name}(): {str(error)[:MAX_QUOTED]}") from error


def _size(value: JSON) -> int:
    """Return the steps that looking at all of *value* takes, not deep; texts are read in words."""
    kind = type(value)
    if kind is list or kind is dict:
        return len(value)
    return len(value) // 16 if kind is str else 0


def _count(number: int) -> str:
    if number == 0:
        return "no arguments"
    return "one argument" if number == 1 else f"at most {number} arguments"


class Registry:
    """Names of functions (or of tests) and what they call."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}

    def add(
        self, *names: str, loops: bool = True, checks: Mapping[str, Callable[[Any], object]] | None = None
    ) -> Callable[[_F], _F]:
        """Return a decorator that registers a function under *names*."""

        def register(call: _F) -> _F:
            parameters, rest = _signature(call)
            for name in names:
                assert name not in self.functions, name
                self.functions[name] = Function(name, call, parameters, rest, loops, checks or {})
            return call

        return register


def _signature(call: Callable[..., JSON]) -> tuple[tuple[Parameter, ...], Parameter | None]:
    hints = typing.get_type_hints(call)
    parameters: list[Parameter] = []
    rest = None
    for parameter in list(inspect.signature(call).parameters.values())[1:]:
        kinds, wanted = _kinds(hints[parameter.name])
        required = parameter.default is parameter.empty
        keyword = parameter.kind is parameter.KEYWORD_ONLY
        default = None if required else parameter.default
        made = Parameter(parameter.name.rstrip("_"), kinds, wanted, required, default, keyword)
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = made
        else:
            parameters.append(made)
    return tuple(parameters), rest


def _kinds(hint: Any) -> tuple[frozenset[type] | None, str]:
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    members = tuple(typing.get_origin(member) or member for member in members)
    if any(member not in _KINDS for member in members):
        return None, "anything"
    known = [_KINDS[member] for member in members]
    return frozenset().union(*(kinds for kinds, _ in known)), " or ".join(wanted for _, wanted in known)
