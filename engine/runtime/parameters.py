"""How a process gets its parameters: on stdin or in a file, never as arguments or environment (LANGUAGE 2)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from dramaturg.engine.errors import JSON


def encoded(parameters: Mapping[str, JSON]) -> bytes:
    """Return the parameters as one line of JSON, with its end: a shell's `read` wants that."""
    return orjson.dumps(dict(parameters)) + b"\n"


@contextlib.contextmanager
def private_file(content: bytes, suffix: str) -> Iterator[Path]:
    """Make a file that only this user can read (0400), for as long as the block lasts."""
    number, name = tempfile.mkstemp(prefix="dramaturg-", suffix=suffix)
    path = Path(name)
    try:
        with open(number, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o400)
        yield path
    finally:
        path.unlink(missing_ok=True)
