"""The keys of one map, read one by one: each with its type, and what nobody asked for is unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.language.model import Position
from dramaturg.engine.language.report import Report
from dramaturg.engine.language.source import Node

#: What an expression may name, chosen once the whole workflow is known: see `inspect.py`.
NamesOf = tuple[Literal["run", "initial", "task", "input", "outcome", "attempt", "output"], str | int]

#: A pack, an action, a variable: parts of a ref (LANGUAGE 1).
REF = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Nothing waits longer than a hundred years: databases must be able to hold the time.
_LONGEST = 100 * 366 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A value that holds expressions, to be checked when all names are known."""

    node: Node
    place: str
    kind: Literal["value", "condition"]
    names: NamesOf
    #: What is compiled, where that is not the node's own value; it begins `shift` characters into the node's text.
    text: str | None = None
    shift: int = 0
    #: Made by us out of what the author wrote: its problems are at the node.
    derived: bool = False


@dataclass(slots=True)
class Draft:
    """What reading one definition gathers besides the definition itself."""

    report: Report
    spots: list[Spot] = field(default_factory=list)
    #: Names of the workflow's tasks, those inside parallel ones too, and where each is written first.
    tasks: dict[str, Node] = field(default_factory=dict)

    def value(self, node: Node, place: str, names: NamesOf) -> JSON:
        """Return a value that may hold templates, and remember to check them."""
        self.spots.append(Spot(node=node, place=place, kind="value", names=names))
        return node.plain()

    def part(self, node: Node, place: str, names: NamesOf, text: str, shift: int) -> None:
        """Remember to check a template that is a part of what is written, from character `shift` on."""
        self.spots.append(Spot(node=node, place=place, kind="value", names=names, text=text, shift=shift))

    def derive(self, node: Node, place: str, text: str) -> None:
        """Remember to check a transition's condition that was made out of what is written."""
        spot = Spot(node=node, place=place, kind="condition", names=("outcome", 0), text=text, derived=True)
        self.spots.append(spot)

    def condition(self, node: Node, place: str, names: NamesOf) -> str | bool | None:
        """Return a condition: one expression, or true or false; None, and a problem, for anything else."""
        if isinstance(node.value, bool):
            return node.value
        if not isinstance(node.value, str) or not node.value.strip():
            self.wrong(node, place, "a condition is expected, such as `succeeded` or an expression")
            return None
        self.spots.append(Spot(node=node, place=place, kind="condition", names=names))
        return node.value

    def wrong(self, node: Node, place: str, expected: str, hint: str = "") -> None:
        """Report a value of the wrong type; `expected` says which one is right."""
        self.report.error("definition.type", f"{place}: {expected}, not {node.describe()}", node.at, hint)


def is_template(value: JSON) -> bool:
    """Say whether a value is a text with an expression in it."""
    return isinstance(value, str) and "{{" in value


class Fields:
    """The keys of one map. Each reader returns the value, or the default after a problem was reported."""

    def __init__(self, node: Node, draft: Draft, place: str, what: str) -> None:
        """Begin to read a map; `what` it is goes into messages: ``task 'build'``.

        Args:
            place: where the map stands in the definition; empty at the top.
        """
        self.node = node
        self.draft = draft
        self.what = what
        self.place = place
        self._values = {str(key.value): value for key, value in node.entries}
        self._known: dict[str, None] = {}
        self._silent: set[str] = set()
        if node.kind != "map":
            draft.wrong(node, what, "a map is expected")

    def at(self, key: str) -> str:
        """Return the place of a key, for messages and for expressions."""
        return f"{self.place}.{key}" if self.place else key

    def take(self, key: str) -> Node | None:
        """Return the node of a key, which is known from now on; None if it is not there."""
        self._known[key] = None
        return self._values.get(key)

    def refuse(self, keys: Collection[str], code: str, message: str, hint: str = "") -> None:
        """Report each of these keys that is there, with the same message; `{key}` in it is the key."""
        for key in keys:
            if self.take(key) is not None:
                self.error(code, message.format(key=key), key, hint.format(key=key))
            self._silent.add(key)

    def error(self, code: str, message: str, key: str, hint: str = "") -> None:
        """Report a problem of a key, at the key."""
        self.draft.report.error(code, message, self.node.key(key).at, hint)

    def missing(self, message: str, hint: str = "") -> None:
        """Report that something is not there; where the whole map is not there, that has been said."""
        if self.node.kind == "map":
            self.draft.report.error("definition.missing", f"{self.what}: {message}", self.node.at, hint)

    def finish(self) -> None:
        """Report every key that nobody asked for."""
        known = [key for key in self._known if key not in self._silent]
        for key in self._values.keys() - self._known.keys():
            if self.draft.report.full:
                return
            hint = did_you_mean(key, known)
            message = f"{self.what} has no key '{key}'"
            hint = hint or (f"known keys: {', '.join(sorted(known))}" if len(known) <= 12 else "")
            self.error("definition.unknown_key", message, key, hint)

    def text(self, key: str, default: str = "") -> str:
        """Read a text."""
        node = self.take(key)
        return default if node is None else self._text(node, key) or default

    def version(self) -> str:
        """Read a version: a text, or a number as it is written. It is for people: 1.10 stays what it looks like."""
        node = self.take("version")
        if node is not None and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return str(node.value) if node.written is None else node.written
        return self.text("version", "1")

    def optional_text(self, key: str) -> str | None:
        """Read a text that may be left out and may not be empty."""
        node = self.take(key)
        if node is None:
            return None
        text = self._text(node, key)
        if text is not None and not text.strip():
            self.draft.wrong(node, self.at(key), "a text is expected")
            return None
        return text

    def _text(self, node: Node, key: str) -> str | None:
        if isinstance(node.value, str):
            return node.value
        hint = "put quotes around it" if node.kind == "scalar" and node.value is not None else ""
        self.draft.wrong(node, self.at(key), "a text is expected", hint)
        return None

    def flag(self, key: str, default: bool) -> bool:
        """Read true or false."""
        node = self.take(key)
        if node is None:
            return default
        if isinstance(node.value, bool):
            return node.value
        hint = "YAML 1.2 knows only true and false" if node.value in ("yes", "no", "on", "off") else ""
        self.draft.wrong(node, self.at(key), "true or false is expected", hint)
        return default

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        """Read one of a few words."""
        node = self.take(key)
        if node is None:
            return default
        if node.value in options and isinstance(node.value, str):
            return node.value
        hint = did_you_mean(node.value, options) if isinstance(node.value, str) else ""
        expected = f"one of {', '.join(options)} is expected"
        self.draft.wrong(node, self.at(key), expected, hint)
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of texts, each once."""
        node = self.take(key)
        if node is None:
            return ()
        if node.kind != "list":
            self.draft.wrong(node, self.at(key), "a list of texts is expected")
            return ()
        found: list[str] = []
        for index, item in enumerate(node.items):
            if not isinstance(item.value, str):
                self.draft.wrong(item, f"{self.at(key)}[{index}]", "a text is expected")
            elif item.value in found:
                self.draft.report.error(
                    "definition.twice", f"{self.at(key)}: '{item.value}' is here twice", item.at
                )
            else:
                found.append(item.value)
        return tuple(found)

    def number(
        self,
        key: str,
        names: NamesOf | None,
        *,
        whole: bool = False,
        least: float = 0,
        most: float = math.inf,
    ) -> JSON:
        """Read a number, or a template for one where `names` says what it may name; None if it is left out."""

        def check(value: JSON) -> JSON:
            fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            return value if fits and least <= value <= most else None

        kind = "a whole number" if whole else "a number"
        bounds = f"from {least:g} up" if most == math.inf else f"from {least:g} to {most:g}"
        return self._scalar(key, names, check, f"{kind} {bounds}")

    def duration(self, key: str, names: NamesOf | None, *, zero: bool = False) -> JSON:
        """Read a duration as seconds, or a template for one; None if it is left out."""

        def check(value: JSON) -> JSON:
            found = seconds(value)
            return found if found is not None and (found > 0 or zero) else None

        above = "" if zero else " above 0"
        return self._scalar(key, names, check, f"a duration{above}, seconds or such as 90s, 5m, 2h, 1d,")

    def _scalar(self, key: str, names: NamesOf | None, check: Callable[[JSON], JSON], expected: str) -> JSON:
        node = self.take(key)
        if node is None:
            return None
        if names is not None and is_template(node.value):
            return self.draft.value(node, self.at(key), names)
        found = check(node.value) if node.kind == "scalar" else None
        if found is None:
            hint = "a template can't be used here" if is_template(node.value) else ""
            template = " or a template" if names is not None else ""
            self.draft.wrong(node, self.at(key), f"{expected}{template} is expected", hint)
        return found

    def condition(self, key: str, names: NamesOf) -> str | bool | None:
        """Read a condition; None if it is left out."""
        node = self.take(key)
        return None if node is None else self.draft.condition(node, self.at(key), names)

    def mapping(self, key: str) -> Node | None:
        """Read a map."""
        node = self.take(key)
        if node is not None and node.kind != "map":
            self.draft.wrong(node, self.at(key), "a map is expected")
            return None
        return node

    def position(self, key: str) -> Position:
        """Return where a key stands, or the map if it is not there."""
        return self.node.key(key).at


def seconds(value: JSON) -> int | float | None:
    """Return a duration in seconds; None if it is none, below 0 or over a hundred years."""
    found: int | float | None = None
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        amount = float(match[1]) * _UNITS[match[2]]
        found = int(amount) if amount.is_integer() else amount
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = value
    return found if found is not None and 0 <= found <= _LONGEST else None
