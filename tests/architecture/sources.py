"""Where the project's own files are, for the tests of this folder."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: The folders of the package, and the name that each is imported by.
FOLDERS = {
    "dramaturg": "dramaturg",
    "engine": "dramaturg.engine",
    "actors": "dramaturg.actors",
    "cli": "dramaturg.cli",
    "packs": "dramaturg.packs",
}


@cache
def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name, packs' scripts left out."""
    found = {}
    for folder, name in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            # dramaturg/ holds links to the other folders, for type checkers only.
            if (folder == "dramaturg" and len(parts) > 1) or (folder == "packs" and len(parts) > 1):
                continue
            dotted = ".".join([name, *parts]).removesuffix(".__init__")
            found[dotted] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    """Return a parsed Python file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def texts() -> dict[str, str]:
    """Return every text file that belongs to the project, by its path below the root."""
    skipped = {"build", "dist", "census", "__pycache__"}
    found = {}
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = parts[0].startswith(".") and parts[0] not in {".ci", ".gitignore"}
        if hidden or skipped & set(parts) or parts[0].endswith(".egg-info"):
            continue
        if path.is_symlink() or not path.is_file() or path.suffix in {".db", ".png", ".pyc"}:
            continue
        found["/".join(parts)] = path.read_text(encoding="utf-8")
    return found
