"""Every function that an expression may call, by name: ``f(x)`` and ``x | f`` are the same (LANGUAGE 7)."""

from __future__ import annotations

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.documents import DOCUMENTS
from dramaturg.engine.expressions.lists import LISTS
from dramaturg.engine.expressions.numbers import NUMBERS
from dramaturg.engine.expressions.predicates import PREDICATES
from dramaturg.engine.expressions.queries import QUERIES
from dramaturg.engine.expressions.regexes import REGEXES
from dramaturg.engine.expressions.registry import Function, Registry
from dramaturg.engine.expressions.sandbox import Frame
from dramaturg.engine.expressions.texts import TEXTS

_RECORDED = Registry()


@_RECORDED.add("now", loops=False)
def now(frame: Frame) -> JSON:
    """Return the time, ISO 8601 in UTC; recorded with the decision that used it."""
    return frame.scope.now()


@_RECORDED.add("uuid", loops=False)
def uuid(frame: Frame) -> JSON:
    """Return a new UUID; recorded with the decision that used it."""
    return frame.scope.uuid()


@_RECORDED.add("random", loops=False)
def random(frame: Frame) -> JSON:
    """Return a number from 0 to below 1; recorded with the decision that used it."""
    return frame.scope.random()


_REGISTRIES = (TEXTS, NUMBERS, LISTS, DOCUMENTS, REGEXES, QUERIES, _RECORDED)

#: name -> function; what :mod:`forms` builds (map, select, default ...) and what asks for the task that just
#: completed (result(), succeeded() ...) comes on top.
FUNCTIONS: dict[str, Function] = {
    name: function for registry in _REGISTRIES for name, function in registry.functions.items()
}
#: name -> test of `is`.
TESTS: dict[str, Function] = PREDICATES.functions

#: Filters of Jinja that are left out, and what to write instead.
LEFT_OUT = {
    "attr": "a field is read with a dot or brackets",
    "format": "~ joins texts and numbers",
    "pprint": "to_json writes a value as text",
    "escape": "nothing is escaped here",
    "e": "nothing is escaped here",
    "safe": "nothing is escaped here",
}
