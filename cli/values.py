"""A JSON value as people read it: names and values, texts as they are, lists of records as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dramaturg.cli.output import table, visible
from dramaturg.engine.errors import JSON

if TYPE_CHECKING:
    from rich.text import Text

#: Columns of a table of records; with more it is no table any more.
COLUMNS = 8


def render(value: JSON) -> Iterator[Text]:
    """Give the lines of a value; none for null and for an empty map."""
    if value is None or value == {}:
        return
    yield from _block(value)


def _block(value: JSON) -> Iterator[Text]:
    from rich.text import Text

    if isinstance(value, Mapping) and value:
        yield from _fields(value)
    elif _is_table(value):
        yield from _table(value)
    elif isinstance(value, str):
        yield from (Text(visible(line)) for line in value.splitlines() or [""])
    elif isinstance(value, list) and value:
        yield from _list(value)
    else:
        yield Text(_inline(value))


def _fields(value: Mapping[str, JSON]) -> Iterator[Text]:
    """Give a line for each simple field; what needs more stands indented below its name."""
    from rich.text import Text

    simple = [key for key in value if _is_simple(value[key])]
    width = max((len(visible(key)) for key in simple), default=0)
    for key, inner in value.items():
        name = Text(visible(key), style="bold")
        if key in simple:
            name.append(" " * (width - len(visible(key)) + 2), style="not bold")
            name.append(_inline(inner), style="not bold")
            yield name
            continue
        yield name
        for line in _block(inner):
            yield Text("  ").append_text(line)


def _list(value: Sequence[JSON]) -> Iterator[Text]:
    from rich.text import Text

    for inner in value:
        for number, line in enumerate(_block(inner)):
            yield Text("  " if number else "- ").append_text(line)


def _table(records: Sequence[Mapping[str, JSON]]) -> list[Text]:
    from rich.text import Text

    names = list(dict.fromkeys(name for record in records for name in record))
    numeric = {name for name in names if all(_fits_number(record.get(name)) for record in records)}
    widths = {name: max(len(name), *(len(_cell(r, name)) for r in records)) for name in names}

    def placed(text: str, name: str) -> str:
        return text.rjust(widths[name]) if name in numeric else text

    rows = [[Text(placed(_cell(record, name), name)) for name in names] for record in records]
    return table([placed(name, name) for name in names], rows)


def _cell(record: Mapping[str, JSON], name: str) -> str:
    # A cell says nothing where there is nothing: `null` would be one more word to read.
    return "" if record.get(name) is None else _inline(record[name])


def _is_table(value: JSON) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, Mapping) and v and all(_is_simple(x) for x in v.values()) for v in value)
        and len({name for record in value for name in record}) <= COLUMNS
    )


def _is_simple(value: JSON) -> bool:
    if isinstance(value, str):
        return "\n" not in value
    if isinstance(value, Mapping | list):
        return not value or (isinstance(value, list) and len(_inline(value)) <= 60 and not _deep(value))
    return True


def _deep(value: Sequence[JSON]) -> bool:
    return any(isinstance(inner, Mapping | list) for inner in value)


def _fits_number(value: JSON) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _inline(value: JSON) -> str:
    return visible(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
