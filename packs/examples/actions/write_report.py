"""Write a census as a Markdown or JSON file.

The file appears whole or not at all: it is written under another name and then renamed. The other name belongs to the
run, so an attempt that was killed leaves nothing that the next one does not replace.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def main() -> None:
    """Read `out`, `format` and `census` from stdin, write the path of the report."""
    parameters = json.load(sys.stdin)
    census = parameters["census"]
    form, suffix = {"markdown": (markdown, ".md"), "json": (as_json, ".json")}[parameters["format"]]
    target = Path(parameters["out"]) / (census["name"] + suffix)
    write(target, form(census).encode())
    json.dump({"path": str(target)}, sys.stdout)


def write(target: Path, content: bytes) -> None:
    """Put a file in its place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    owner = hashlib.sha256(os.environ["DRAMATURG_RUN_ID"].encode()).hexdigest()[:12]
    draft = target.with_name(f".{target.name}.{owner}.part")
    with open(draft, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, target)


def as_json(census: Mapping[str, Any]) -> str:
    """Return the whole census."""
    return json.dumps(census, indent=2, ensure_ascii=False) + "\n"


def markdown(census: Mapping[str, Any]) -> str:
    """Return the census for people."""
    return "\n".join(sections(census)) + "\n"


def sections(census: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines of the Markdown report."""
    yield from (
        f"# Code census of {code(census['name'])}",
        "",
        census["summary"],
        "",
        f"Folder: {code(census['root'])}",
    )
    if longest := census["longest"]:
        yield ""
        yield (
            f"Longest function: {code(longest['name'])} in {code(longest['file'])},"
            f" line {longest['line']}, {longest['lines']:,} lines"
        )
    yield from ("", "## The largest files", "")
    counts = ("lines", "code", "functions", "classes")
    rows = (
        (code(r["file"]), *(number(r[c]) for c in counts), code(r["longest_function"]))
        for r in census["largest"]
    )
    yield from table(("File", "Lines", "Code", "Functions", "Classes", "Longest function (lines)"), rows)
    if census["problems"]:
        yield from ("", "## What could not be read or parsed", "")
        yield from table(
            ("File", "Problem"), ((code(p["file"]), code(p["problem"])) for p in census["problems"])
        )
    yield from ("", "## All files", "")
    rows = ((code(r["file"]), number(r["bytes"]), *(number(r[c]) for c in counts)) for r in census["files"])
    yield from table(("File", "Bytes", "Lines", "Code", "Functions", "Classes"), rows)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Give the lines of a table; numbers stand on the right."""
    texts = {"File", "Problem", "Longest function (lines)"}
    yield f"| {' | '.join(headings)} |"
    yield f"| {' | '.join('---' if heading in texts else '---:' for heading in headings)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def number(value: int | None) -> str:
    """Return a number as people write it; nothing for one that is not known."""
    return "" if value is None else f"{value:,}"


def code(text: str | None) -> str:
    """Return a text in which Markdown sees nothing to format: `__init__` is not meant to be bold."""
    if not text:
        return ""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text).replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


if __name__ == "__main__":
    main()
