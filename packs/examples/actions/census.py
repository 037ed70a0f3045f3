"""The parts of `examples.code_census` that run inside the worker: find the files, and sum up what is known of them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]

#: Files that the run's output names.
LARGEST = 10


class SourceNotFound(Exception):
    """There is no such package or path, or it has no source files."""


def locate(package: str, out: str, path: str | None = None) -> Record:
    """Return what to look at and where to write: absolute paths, so that it does not matter who goes on with them.

    Raises:
        SourceNotFound: there is nothing to look at.
        OSError: the folder for the report can't be made.
    """
    place = _given(path) if path is not None else _installed(package)
    folder = _absolute(out)
    folder.mkdir(parents=True, exist_ok=True)
    name = package if path is None else place.stem if place.is_file() else place.name
    return {"name": name or "census", "place": str(place), "out": str(folder)}


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))


def _given(path: str) -> Path:
    place = _absolute(path)
    if not place.exists():
        raise SourceNotFound(f"there is no folder or file {place}")
    return place


def _installed(package: str) -> Path:
    if not all(part.isidentifier() for part in package.split(".")):
        raise SourceNotFound(f"{package!r} is not the name of a package")
    try:
        spec = importlib.util.find_spec(package)
    except Exception as error:  # finding a submodule imports what is above it, which may raise anything
        raise SourceNotFound(f"package {package!r} can't be found: {error}") from error
    if spec is None:
        raise SourceNotFound(f"no package {package!r} is installed for {sys.executable}")
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    # A module that is frozen into the interpreter still knows its file.
    file = spec.origin if spec.has_location else getattr(sys.modules.get(package), "__file__", None)
    if file is None or not file.endswith(".py"):
        raise SourceNotFound(f"package {package!r} has no source files: it is compiled or built in")
    return Path(file)


def list_files(place: str) -> Record:
    """Return the Python files below a folder as sorted paths relative to it, and what had to be left out.

    Hidden folders, folders of bytecode, and folders behind links are not entered.
    """
    if os.path.isfile(place):
        return {"root": os.path.dirname(place), "files": [os.path.basename(place)], "skipped": []}
    names: list[str] = []
    skipped: list[Record] = []
    for folder, folders, files in os.walk(
        place, onerror=lambda error: skipped.append(_unlisted(error, place))
    ):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        names += (
            os.path.relpath(os.path.join(folder, name), place) for name in files if name.endswith(".py")
        )
    skipped += (
        {"file": _shown(name), "problem": "its name is not valid UTF-8"}
        for name in names
        if not _is_utf8(name)
    )
    listed = sorted(name for name in names if _is_utf8(name))
    return {"root": place, "files": listed, "skipped": sorted(skipped, key=lambda record: record["file"])}


def _unlisted(error: OSError, place: str) -> Record:
    folder = os.path.relpath(str(error.filename or place), place)
    return {"file": _shown(folder), "problem": f"can't be listed: {error.strerror}"}


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def sum_up(
    name: str,
    root: str,
    files: Sequence[str],
    looks: Sequence[Mapping[str, Any]],
    skipped: Sequence[Record] = (),
) -> Record:
    """Return the census: totals, the largest files, what could not be read or parsed, and every file.

    Args:
        looks: for each of `files` its `status`, `result` and `error`.
    """
    seen = [look["result"] for look in looks if look["status"] == "succeeded"]
    unreadable = [
        {"file": file, "problem": _reason(look)}
        for file, look in zip(files, looks, strict=True)
        if look["status"] != "succeeded"
    ]
    unparsed = [
        {"file": record["file"], "problem": record["problem"]} for record in seen if record["problem"]
    ]
    ranked = sorted(seen, key=lambda record: (-record["lines"], record["file"]))
    totals = {
        "files": len(files) + len(skipped),
        "parsed": len(seen) - len(unparsed),
        **{
            count: sum(record[count] or 0 for record in seen)
            for count in ("lines", "code", "functions", "classes")
        },
    }
    problems = sorted([*skipped, *unreadable, *unparsed], key=lambda record: record["file"])
    return {
        "name": name,
        "root": root,
        "summary": _summary(name, totals, len(problems)),
        "totals": totals,
        "largest": [_row(record) for record in ranked[:LARGEST]],
        "longest": _longest(seen),
        "problems": problems,
        "files": sorted(seen, key=lambda record: record["file"]),
    }


def _reason(look: Mapping[str, Any]) -> str:
    message = (look.get("error") or {}).get("message") or look["status"]
    return str(message).removeprefix("exited with 1: ")


def _row(record: Record) -> Record:
    """Return a file as a row of a table: simple values only."""
    longest = record["longest"]
    row = {count: record[count] for count in ("file", "lines", "code", "functions", "classes")}
    return {**row, "longest_function": f"{longest['name']} ({longest['lines']})" if longest else None}


def _longest(records: Iterable[Record]) -> Record | None:
    """Return the longest function of all; the first of equals, by file and line."""
    functions = [{"file": record["file"], **record["longest"]} for record in records if record["longest"]]
    return min(functions, key=lambda f: (-f["lines"], f["file"], f["line"]), default=None)


def _summary(name: str, totals: Mapping[str, int], problems: int) -> str:
    text = (
        f"{name}: {_counted(totals['files'], 'file')}, {_counted(totals['lines'], 'line')}"
        f" ({totals['code']:,} of code), {_counted(totals['functions'], 'function')},"
        f" {_counted(totals['classes'], 'class', 'classes')}"
    )
    return text + (f"; {problems:,} could not be read or parsed" if problems else "")


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
