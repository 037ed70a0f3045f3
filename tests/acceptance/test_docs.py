"""Every example in the documentation is run.

The words after a fence say what is done with a block:

* ``yaml workflow``, ``yaml action``, ``yaml pack``, ``yaml task``: checked as such; with ``file=NAME`` also written to that
  file, for the blocks below it;
* ``yaml plays``: how the workflow above it is played, and what it gives; test_language_page.py does that;
* ``console``: the lines that begin with ``$`` are run, and must print what is below them (``...`` stands for anything) and
  end with exit code 0, or with N after ``exit=N``. Progress, which goes to stderr, is not shown on the pages; errors are;
* ``python``: run as a script; with ``file=NAME`` only written;
* ``sh`` and ``text``: not run: what needs another machine, and pictures; ``toml``: for ``file=NAME``.

The blocks of a page share a folder, and are run in order.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dramaturg.engine.language.parser import parse_action, parse_workflow

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: Pages whose workflows are played.
PLAYED = ("language.md", "language-details.md")

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    place: str
    kind: str
    options: dict[str, str]
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """Return the fenced blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(content):
        words = found["info"].split()
        options = dict(word.partition("=")[::2] for word in words if "=" in word)
        kind = " ".join(word for word in words if "=" not in word)
        line = content.count("\n", 0, found.start()) + 1
        yield Block(f"{page.relative_to(ROOT)}:{line}", kind, options, found["text"])


def environment() -> dict[str, str]:
    """Return an environment without settings, in which `dramaturg` is the one under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRAMATURG_")}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
    }


def check_yaml(block: Block) -> None:
    """Check a block of YAML as what its fence says that it is."""
    what = block.kind.removeprefix("yaml ")
    if what == "workflow":
        parse_workflow(block.text, block.place)
    elif what == "action":
        parse_action(block.text, block.place)
    elif what == "task":
        names = sorted(target_names(yaml.safe_load(block.text)))
        others = "".join(f"  {name}: {{action: core.noop}}\n" for name in names)
        task = textwrap.indent(block.text, "    ")
        parse_workflow(f"ref: docs.example\ntasks:\n  example:\n{task}{others}", block.place)
    else:
        assert what == "pack", f"{block.place}: say what this is: yaml workflow, action, task or pack"
        assert "ref" in yaml.safe_load(block.text)


def target_names(task: dict[str, object]) -> set[str]:
    """Return the tasks that a task's transitions name."""
    found: set[str] = set()
    for transition in task.get("next", []):  # type: ignore[attr-defined]
        do = transition.get("do", [])
        found |= set(do if isinstance(do, list) else do.replace(" ", "").split(","))
    return found - {"fail", "noop", "continue"}


def check_console(block: Block, folder: Path) -> None:
    """Run the commands of a block, and compare what they print."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, want = part.partition("\n")
        assert command.startswith("dramaturg "), f"{block.place}: only dramaturg is run here: {command}"
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment(),
        )
        place = f"{block.place}: $ {command}"
        code = int(block.options.get("exit", 0))
        assert done.returncode == code, f"{place}\n{done.stdout}{done.stderr}"
        got = done.stdout + (done.stderr if code else "")
        same = doctest.OutputChecker().check_output(want, got, LIKE)
        assert same, f"{place}\n--- wanted:\n{want}\n--- printed:\n{got}"


def check_python(block: Block, folder: Path) -> None:
    """Run a block as a script."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment(),
    )
    assert done.returncode == 0, f"{block.place}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_work(page: Path, tmp_path: Path) -> None:
    """Definitions are valid, commands print what is shown, programs run."""
    for block in blocks(page):
        if "file" in block.options:
            target = tmp_path / block.options["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        if block.kind == "yaml plays":
            assert page.name in PLAYED, f"{block.place}: nobody plays the workflows of this page"
        elif block.kind.startswith("yaml"):
            check_yaml(block)
        elif block.kind == "console":
            check_console(block, tmp_path)
        elif block.kind == "python":
            if "file" not in block.options:
                check_python(block, tmp_path)
        else:
            assert block.kind in {"sh", "text", "toml"}, f"{block.place}: what is to be done with this block?"


def test_every_part_of_the_documentation_is_looked_at() -> None:
    """The pages that the README names are among those that are run."""
    assert {page.name for page in PAGES} >= {
        "README.md",
        "quickstart.md",
        "concepts.md",
        "language.md",
        "operations.md",
    }
    assert any(block.kind == "console" for page in PAGES for block in blocks(page))
