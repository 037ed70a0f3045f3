"""What is built is whole, and is imported by one name only."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from sources import FOLDERS, ROOT, project

IGNORED = {"__pycache__"}


def data_and_code(folder: str) -> set[str]:
    """Return every file of a folder that belongs into the wheel, by its path in there."""
    if folder == "dramaturg":
        return {f"dramaturg/{path.name}" for path in (ROOT / folder).iterdir() if path.is_file()}
    target = FOLDERS[folder].replace(".", "/")
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and not IGNORED & set(path.parts))
    return {
        f"{target}/{path.relative_to(ROOT / folder).as_posix()}" for path in files if path.suffix != ".pyc"
    }


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built once, from a copy so that the tree stays clean."""
    folder = tmp_path_factory.mktemp("build")
    copy = folder / "source"
    copy.mkdir()
    names = [*FOLDERS, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"]
    subprocess.run(
        ["cp", "-a", *(str(ROOT / name) for name in names if (ROOT / name).exists()), str(copy)], check=True
    )
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pyproject_lists_every_package() -> None:
    """Each folder with an __init__.py is in the list: one that is missing there is missing in the wheel."""
    there = set()
    for folder, name in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / folder).parts
            if folder not in {"dramaturg", "packs"} or not parts:
                there.add(".".join([name, *parts]))
    assert set(project()["tool"]["setuptools"]["packages"]) == there


def test_every_folder_of_modules_is_a_package() -> None:
    """No folder with modules lacks its __init__.py."""
    folders = {path.parent for name in ("engine", "actors", "cli") for path in (ROOT / name).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_wheel_has_every_file(built: Path) -> None:
    """Modules, migrations, packs with their scripts, py.typed: all of it, and nothing else."""
    (wheel,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == set().union(*(data_and_code(folder) for folder in FOLDERS))


def test_the_sdist_can_build_the_wheel(built: Path) -> None:
    """The source archive has every file that the wheel has, where the mapping expects it."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {path for folder in FOLDERS for path in data_and_code(folder)}
    as_in_tree = {path.removeprefix("dramaturg/") if path.count("/") > 1 else path for path in wanted}
    as_in_tree = {path if (ROOT / path).exists() else f"dramaturg/{path}" for path in as_in_tree}
    assert as_in_tree - names == set()


@pytest.fixture(scope="session")
def installed(built: Path) -> Path:
    """A folder with the wheel's content, as `pip install` leaves it."""
    (wheel,) = built.glob("*.whl")
    target = built / "site"
    zipfile.ZipFile(wheel).extractall(target)
    return target


def run_installed(installed: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run *code* with the wheel's content first on the path, and nothing of the source tree."""
    prelude = f"import sys; sys.path.insert(0, {str(installed)!r})\n"
    return subprocess.run(
        [sys.executable, "-I", "-c", prelude + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=installed.parent,
    )


def test_the_folders_are_importable_only_below_dramaturg(installed: Path) -> None:
    """An app's own actors.py, cli.py or engine.py never meets ours."""
    code = """
import importlib, dramaturg
assert dramaturg.__file__.startswith(sys.path[0]), dramaturg.__file__
for name in ("engine", "actors", "cli", "packs"):
    importlib.import_module(f"dramaturg.{name}")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"import {name} works")
"""
    done = run_installed(installed, code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_packs_are_found_in_the_installed_package(installed: Path) -> None:
    """The packs come with the wheel, scripts and all."""
    code = """
from importlib.resources import files
for pack in ("core", "examples"):
    assert (files("dramaturg.packs") / pack / "pack.yaml").is_file(), pack
"""
    done = run_installed(installed, code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_links_for_type_checkers_point_at_the_folders() -> None:
    """dramaturg/engine and the others are links to the real folders."""
    for folder in FOLDERS:
        link = ROOT / "dramaturg" / folder
        if folder != "dramaturg":
            assert link.resolve() == ROOT / folder


def test_the_constraints_pin_every_dependency() -> None:
    """Each name of pyproject.toml has a version in constraints.txt, and nothing there has an address."""
    from packaging.requirements import Requirement

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    assert all(line.count("==") == 1 and "/" not in line for line in lines)
    meta = project()["project"]
    wanted = [*meta["dependencies"], *(r for extra in meta["optional-dependencies"].values() for r in extra)]
    names = {Requirement(line).name.lower().replace("_", "-") for line in wanted} - {"dramaturg"}
    assert names - pinned == set()
