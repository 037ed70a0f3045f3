"""Is it a ref or a file? Both are typed in the same place."""

from __future__ import annotations

import re
from pathlib import Path

_REF = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def is_file(text: str) -> bool:
    """Return whether a REF|FILE argument means a file: by its ending, a slash, or because it can be no ref."""
    if text.endswith((".yaml", ".yml")) or "/" in text:
        return True
    return not _REF.fullmatch(text) and Path(text).is_file()
