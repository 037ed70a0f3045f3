"""Files for one attempt that nobody else may read, gone with it even if the worker is killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dramaturg.engine.runtime.guard import GUARD


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that only this user can look into (0700), for as long as the block lasts.

    The watchdog knows its name before it exists: at no moment can a killed worker leave it behind.

    Raises:
        OSError: there is no room, or there is no watchdog and none can be started.
    """
    folder = Path(tempfile.gettempdir(), f"dramaturg-{secrets.token_hex(12)}").absolute()
    try:
        GUARD.keep(folder)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            # Something that left the process group may still write here; that is no reason to fail.
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        GUARD.release(folder)


def private_file(folder: Path, name: str, content: bytes, mode: int = 0o400) -> Path:
    """Make a file in a private folder."""
    file = folder / name
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
        opened.write(content)
    return file
