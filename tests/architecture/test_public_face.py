"""``import dramaturg`` is cheap, and has what an app needs."""

from __future__ import annotations

import subprocess
import sys

from sources import project

import dramaturg


def run(code: str) -> str:
    """Run *code* in a Python of its own; return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_is_lazy() -> None:
    """Neither a database nor a broker library is loaded before Client or Worker is asked for."""
    heavy = '"sqlalchemy", "sqlmodel", "dramatiq", "click", "rich", "pydantic"'
    assert run(f"import sys, dramaturg; print([n for n in ({heavy}) if n in sys.modules])") == "[]"


def test_client_and_worker_are_there() -> None:
    """What the documentation shows works; what is not there is an AttributeError with its name."""
    assert (
        run("from dramaturg import Client, Worker; print(Client.__name__, Worker.__name__)")
        == "Client Worker"
    )
    assert run("import dramaturg; print(hasattr(dramaturg, 'Clint'))") == "False"


def test_every_public_name_can_be_had() -> None:
    """__all__ names nothing that is not there."""
    for name in dramaturg.__all__:
        assert getattr(dramaturg, name) is not None


def test_the_version_is_the_packages() -> None:
    """The version is said in two places, and both say the same."""
    assert dramaturg.__version__ == project()["project"]["version"]
