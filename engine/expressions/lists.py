"""Functions on lists and maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import Fault, Missing, quoted
from dramaturg.engine.expressions.operators import add, member
from dramaturg.engine.expressions.registry import Registry
from dramaturg.engine.expressions.sandbox import Frame, in_text, name_type, weigh

LISTS = Registry()

#: A path into each element: ``a.b.0``, or one index.
Path = str | int
_ABSENT = object()


def dig(value: JSON, path: Path) -> Any:
    """Return what stands under a dotted path in *value*, or a mark that nothing does; see :func:`present`."""
    for part in [path] if isinstance(path, int) else path.split("."):
        if type(value) is dict and isinstance(part, str) and part in value:
            value = value[part]
        elif type(value) is list and (isinstance(part, int) or (part.isdigit() and len(part) < 10)):
            if not -len(value) <= int(part) < len(value):
                return _ABSENT
            value = value[int(part)]
        else:
            return _ABSENT
    return value


def present(value: Any) -> bool:
    """Say whether :func:`dig` found something."""
    return value is not _ABSENT


def attribute_of(element: JSON, path: Path) -> JSON:
    """Return what stands under *path* in an element of a list.

    Raises:
        Missing: nothing does.
    """
    found = dig(element, path)
    if found is _ABSENT:
        raise Missing(f"{name_type(element)} in the list has no {quoted(str(path))}")
    return found


def _values(frame: Frame, elements: list[JSON], attribute: Path | None) -> list[JSON]:
    if attribute is None:
        return elements
    frame.step(len(elements))
    return [attribute_of(element, attribute) for element in elements]


def _key(case_sensitive: bool) -> Callable[[Any], Any]:
    if case_sensitive:
        return lambda value: value
    return lambda value: value.lower() if type(value) is str else value


@LISTS.add("length", "count", loops=False)
def length(frame: Frame, value: list[JSON] | dict[str, JSON] | str) -> JSON:
    """Return the number of elements, or of a text's characters."""
    return len(value)


@LISTS.add("keys")
def keys(frame: Frame, value: dict[str, JSON]) -> JSON:
    """Return the keys of a map."""
    frame.build(len(value))
    return list(value)


@LISTS.add("values")
def values(frame: Frame, value: dict[str, JSON]) -> JSON:
    """Return the values of a map."""
    frame.build(len(value))
    return list(value.values())


@LISTS.add("items")
def items(frame: Frame, value: dict[str, JSON]) -> JSON:
    """Return the pairs ``[key, value]`` of a map."""
    frame.build(3 * len(value))
    return [[key, part] for key, part in value.items()]


@LISTS.add("dictsort")
def dictsort(
    frame: Frame,
    value: dict[str, JSON],
    case_sensitive: bool = False,
    by: str = "key",
    reverse: bool = False,
) -> JSON:
    """Return the pairs of a map, sorted by key or value."""
    if by not in ("key", "value"):
        raise Fault(f"dictsort() sorts by key or value, not by {quoted(by)}")
    frame.build(3 * len(value))
    pairs = [[key, part] for key, part in value.items()]
    fold, at = _key(case_sensitive), 0 if by == "key" else 1
    return _ordered(frame, pairs, [fold(pair[at]) for pair in pairs], reverse)


@LISTS.add("range")
def range_(frame: Frame, start: int, stop: int | None = None, step: int = 1) -> JSON:
    """Return the integers below one, or from one to below another."""
    if step == 0:
        raise Fault("range() wants a step that is not 0")
    numbers = range(start) if stop is None else range(start, stop, step)
    # len() of a range that is longer than a machine word is an error of its own.
    frame.build(max(0, -((numbers.start - numbers.stop) // numbers.step)))
    return list(numbers)


@LISTS.add("zip")
def zip_(frame: Frame, a: list[JSON], *others: list[JSON]) -> JSON:
    """Return lists of what stands side by side, as many as the shortest has."""
    frame.build(min(map(len, (a, *others))) * (len(others) + 2))
    return [list(row) for row in zip(a, *others, strict=False)]


@LISTS.add("flat")
def flat(frame: Frame, value: list[JSON], depth: int = 1) -> JSON:
    """Return a list whose elements that are lists are replaced by their elements, so many levels deep."""
    for _ in range(min(depth, 100)):
        if not any(type(part) is list for part in value):
            break
        size = sum(len(part) if type(part) is list else 1 for part in value)
        frame.step(size)
        frame.build(size)
        value = [inner for part in value for inner in (part if type(part) is list else [part])]
    return value


@LISTS.add("unique")
def unique(
    frame: Frame, value: list[JSON], case_sensitive: bool = True, attribute: str | int | None = None
) -> JSON:
    """Return a list without what it has already had, compared whole or by an attribute."""
    frame.build(len(value))
    fold, seen, kept = _key(case_sensitive), set(), []
    for element, by in zip(value, _values(frame, value, attribute), strict=True):
        if type(by) in (list, dict):
            frame.step(weigh(by, frame.steps))
        mark = _frozen(fold(by))
        if mark not in seen:
            seen.add(mark)
            kept.append(element)
    return kept


def _frozen(value: JSON) -> Any:
    """Return *value* so that a set can hold it; equal exactly when the values are."""
    if type(value) is list:
        return (list, tuple(map(_frozen, value)))
    if type(value) is dict:
        return (dict, frozenset((key, _frozen(part)) for key, part in value.items()))
    return value


@LISTS.add("sort")
def sort(
    frame: Frame,
    value: list[JSON],
    reverse: bool = False,
    case_sensitive: bool = True,
    attribute: str | int | None = None,
) -> JSON:
    """Return a list in order, by its elements or an attribute of them."""
    fold = _key(case_sensitive)
    marks = [fold(mark) for mark in _values(frame, value, attribute)]
    frame.build(len(value))
    return _ordered(frame, value, marks, reverse)


def _ordered(frame: Frame, elements: list[JSON], marks: list[Any], reverse: bool) -> list[JSON]:
    # A comparison in C takes about a quarter of a step.
    rounds = 1 + len(elements).bit_length() // 4
    deep = any(type(mark) is list for mark in marks)
    frame.step(rounds * (weigh(marks, frame.steps) if deep else len(elements)))
    try:
        order = sorted(range(len(elements)), key=marks.__getitem__, reverse=reverse)
    except TypeError:
        kinds = sorted({name_type(mark) for mark in marks})
        raise Fault(f"can't order {' and '.join(kinds)}") from None
    return [elements[index] for index in order]


@LISTS.add("groupby")
def groupby(frame: Frame, value: list[JSON], attribute: str | int, default: JSON = None) -> JSON:
    """Return ``{grouper, list}`` for each value of an attribute, in the order of those values."""
    frame.build(4 * len(value))
    groups: dict[Any, dict[str, Any]] = {}
    for element in value:
        by = dig(element, attribute)
        if by is _ABSENT:
            by = default if default is not None else attribute_of(element, attribute)
        if type(by) in (list, dict):
            raise Fault(f"can't group by {name_type(by)}")
        groups.setdefault(by, {"grouper": by, "list": []})["list"].append(element)
    found = list(groups.values())
    return _ordered(frame, found, [group["grouper"] for group in found], False)


@LISTS.add("reversed", "reverse")
def reversed_(frame: Frame, value: list[JSON] | str) -> JSON:
    """Return a list or a text from its end to its start."""
    frame.build(len(value))
    return value[::-1]


@LISTS.add("chunks")
def chunks(frame: Frame, value: list[JSON], size: int) -> JSON:
    """Return a list in lists of a size; the last may be shorter."""
    if size < 1:
        raise Fault(f"chunks() wants a size of 1 or more, not {size}")
    frame.build(len(value) + len(value) // size + 1)
    return [value[at : at + size] for at in range(0, len(value), size)]


@LISTS.add("batch")
def batch(frame: Frame, value: list[JSON], linecount: int, fill_with: JSON = None) -> JSON:
    """Return what `chunks` does, the last one filled up if there is something to fill it with."""
    rows: list[list[JSON]] = chunks(frame, value, linecount)
    if rows and fill_with is not None:
        lacking = linecount - len(rows[-1])
        frame.build(lacking)
        rows[-1] = rows[-1] + [fill_with] * lacking
    return rows


@LISTS.add("list")
def list_(frame: Frame, value: JSON) -> JSON:
    """Return a list as it is, the characters of a text, the keys of a map."""
    if type(value) is list:
        return value
    if type(value) not in (str, dict):
        raise Fault(f"list() wants a list, a text or a map, not {name_type(value)}")
    frame.build(len(value))
    return list(value)


@LISTS.add("first", loops=False)
def first(frame: Frame, value: list[JSON] | str) -> JSON:
    """Return the first element."""
    return _end(value, 0, "first")


@LISTS.add("last", loops=False)
def last(frame: Frame, value: list[JSON] | str) -> JSON:
    """Return the last element."""
    return _end(value, -1, "last")


def _end(value: Any, index: int, name: str) -> JSON:
    if not value:
        raise Missing(f"{name}() of {name_type(value)} that is empty")
    return value[index]


@LISTS.add("sum")
def sum_(
    frame: Frame, value: JSON, *others: JSON, attribute: str | int | None = None, start: float = 0
) -> JSON:
    """Return the sum of a list, of an attribute of its elements, or of the arguments."""
    total: JSON = start
    for part in _values(frame, _several("sum", value, others), attribute):
        if type(part) not in (int, float, bool):
            raise Fault(f"sum() adds numbers, not {name_type(part)}")
        total = add(frame, total, part)
    return total


@LISTS.add("min")
def min_(
    frame: Frame,
    value: JSON,
    *others: JSON,
    attribute: str | int | None = None,
    case_sensitive: bool = True,
) -> JSON:
    """Return the least of a list or of the arguments."""
    return _extreme(frame, "min", _several("min", value, others), attribute, case_sensitive)


@LISTS.add("max")
def max_(
    frame: Frame,
    value: JSON,
    *others: JSON,
    attribute: str | int | None = None,
    case_sensitive: bool = True,
) -> JSON:
    """Return the greatest of a list or of the arguments."""
    return _extreme(frame, "max", _several("max", value, others), attribute, case_sensitive)


def _several(name: str, value: JSON, others: Iterable[JSON]) -> list[JSON]:
    if others:
        return [value, *others]
    if type(value) is not list:
        raise Fault(f"{name}() wants a list or several arguments, not {name_type(value)}")
    return value


def _extreme(
    frame: Frame, name: str, elements: list[JSON], attribute: Path | None, case_sensitive: bool
) -> JSON:
    if not elements:
        raise Missing(f"{name}() of a list that is empty")
    fold = _key(case_sensitive)
    marks = [fold(mark) for mark in _values(frame, elements, attribute)]
    if any(type(mark) is list for mark in marks):
        frame.step(weigh(marks, frame.steps))
    pick = min if name == "min" else max
    try:
        return elements[pick(range(len(elements)), key=marks.__getitem__)]
    except TypeError:
        kinds = sorted({name_type(mark) for mark in marks})
        raise Fault(f"{name}() can't order {' and '.join(kinds)}") from None


@LISTS.add("join")
def join(frame: Frame, value: list[JSON], sep: str = "", attribute: str | int | None = None) -> JSON:
    """Return the elements of a list, as they appear in texts, as one text."""
    frame.build(len(sep) * max(0, len(value) - 1))
    pieces: list[JSON] = []
    for part in _values(frame, value, attribute):
        pieces += (sep, part) if pieces else (part,)
    return in_text(frame, pieces)


@LISTS.add("slice")
def slice_(frame: Frame, value: list[JSON] | str, from_: int, to: int | None = None) -> JSON:
    """Return a part of a list or text; negative places count from the end."""
    part = value[from_:to]
    frame.build(len(part))
    return part


@LISTS.add("index_of")
def index_of(frame: Frame, value: list[JSON] | str, x: JSON) -> JSON:
    """Return where an element of a list or a part of a text stands first, -1 for nowhere."""
    if not member(frame, x, value):
        return -1
    return value.index(x)


@LISTS.add("contains")
def contains(frame: Frame, value: list[JSON] | dict[str, JSON] | str, x: JSON) -> JSON:
    """Say whether a list has an element, a map a key, a text a part."""
    return member(frame, x, value)


@LISTS.add("merge")
def merge(frame: Frame, a: dict[str, JSON], *others: dict[str, JSON]) -> JSON:
    """Return one map of several, not deep; the last has its way."""
    frame.build(len(a) + sum(map(len, others)))
    merged = dict(a)
    for other in others:
        merged.update(other)
    return merged


@LISTS.add("default", "d", loops=False)
def default(frame: Frame, value: JSON, default_value: JSON = "", boolean: bool = False) -> JSON:
    """Return *value*, which is there; with *boolean*, the default for what is false.

    Expressions that name `default` get the form of :mod:`forms`; this is for the elements of a `map`.
    """
    return default_value if boolean and not value else value
