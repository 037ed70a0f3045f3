"""Private files: nobody else reads them, and no moment leaves them behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from dramaturg.engine.runtime.guard import GUARD
from dramaturg.engine.runtime.private import private_file, private_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "a folder\nof its own \udcff"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_folder_is_private_and_gone_afterwards(temporary):
    """With all that is in it, whoever put it there."""
    with private_folder() as folder:
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o777 == 0o700
        file = private_file(folder, "x", b"secret")
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"secret", 0o400)
        (folder / "more").mkdir()
        (folder / "more" / "file").touch()
    assert list(temporary.iterdir()) == []
    assert GUARD._kept == set()


def test_a_folder_is_gone_after_an_exception(temporary):
    """Ctrl-C included."""
    with pytest.raises(KeyboardInterrupt), private_folder():
        raise KeyboardInterrupt
    assert list(temporary.iterdir()) == []


def test_a_folder_that_can_not_be_made_is_forgotten(monkeypatch, tmp_path):
    """The watchdog must not keep names for ever."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError), private_folder():
        pass
    assert GUARD._kept == set()


def test_a_file_is_never_written_over(tmp_path):
    """Nor is a link followed that somebody put in its place."""
    (tmp_path / "x").symlink_to(tmp_path / "y")
    with pytest.raises(FileExistsError):
        private_file(tmp_path, "x", b"secret")


KILLED = """
    import os, signal, sys, tempfile
    from pathlib import Path
    from dramaturg.engine.runtime import private
    tempfile.tempdir = sys.argv[1]
    place = sys.argv[2]
    def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
    def after(function):
        def call(*args, **given):
            function(*args, **given)
            die()
        return call
    if place == "before it is made": Path.mkdir = die
    if place == "as soon as it is made": Path.mkdir = after(Path.mkdir)
    with private.private_folder() as folder:
        if place == "in the middle of a file": private.open = die
        private.private_file(folder, "x", b"secret")
        (folder / "more").mkdir()
        (folder / "more" / "file").symlink_to("/")
        if place == "with files in it": die()
        private.shutil.rmtree = die
"""


@pytest.mark.parametrize(
    "place",
    [
        "before it is made",
        "as soon as it is made",
        "in the middle of a file",
        "with files in it",
        "before it is removed",
    ],
)
def test_a_killed_worker_leaves_nothing(temporary, until, place):
    """At whichever point it is killed: the watchdog knows the folder before it exists."""
    command = [sys.executable, "-c", dedent(KILLED), os.fspath(temporary), place]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    until(lambda: not list(temporary.iterdir()))


def test_a_new_watchdog_knows_the_folders(temporary, until):
    """Somebody killed the first one."""
    code = """
        import os, signal, sys, tempfile
        from dramaturg.engine.runtime.guard import GUARD
        from dramaturg.engine.runtime.private import private_folder
        tempfile.tempdir = sys.argv[1]
        with private_folder() as one:
            GUARD._watchdog.kill()
            GUARD._watchdog.wait()
            with private_folder() as two:
                os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", dedent(code), os.fspath(temporary)]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    until(lambda: not list(temporary.iterdir()))
