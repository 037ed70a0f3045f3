"""The walls between the folders, as `lint-imports` checks them; and that they would be noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sources import ROOT, project


def lint_imports(cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_nobody_imports_across_a_wall() -> None:
    """All contracts of pyproject.toml are kept."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_every_folder_of_the_engine_has_its_layer() -> None:
    """A module that is in no layer would be behind no wall."""
    layers = " ".join(project()["tool"]["importlinter"]["contracts"][0]["layers"])
    tops = {
        path.stem
        for path in (ROOT / "engine").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    missing = [
        name for name in tops - {"__init__", "__pycache__"} if f"dramaturg.engine.{name}" not in layers
    ]
    assert missing == []
