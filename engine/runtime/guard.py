"""No process of an action outlives its worker, however the worker ends (LANGUAGE 2).

What was considered, and why it is like this:

* ``PR_SET_PDEATHSIG`` reaches the child alone, not the processes that it started; it fires when the *thread* that
  started it ends; it is Linux only; and to set it, code must run between fork and exec, which is not safe in a process
  with threads, or a launcher must be started for every action (8 ms of Python).
* A supervisor for each action costs such a start for every action, too.
* So each worker process has one :mod:`watchdog`, started with its first process action: it holds a pipe from the
  worker, knows the process groups that run, and kills them when the pipe ends. To watch a process costs one small write.

A child must not get to work before the watchdog knows it, or a worker killed in between would leave it behind. So the
child is started as a shell that waits for a line on its stdin and then becomes the command (``GATE``, 0.5 ms): the
worker writes to the watchdog first and opens the gate then. A worker that dies before that leaves a shell that reads
the end of its stdin and exits.

Files that hold an attempt's parameters lie in a folder of their own, whose name the watchdog gets before the folder is
made: so it can't be left behind either, whenever the worker is killed.

Beyond reach is a process that leaves its group by itself (``setsid``), as with every supervisor of this kind.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

WATCHDOG = Path(__file__).with_name("watchdog.py")
#: ``sh -c GATE name command...`` waits for a line on stdin and becomes the command, with the rest of stdin.
#: A shell may export these variables by itself; the command's environment is to be exactly what it was given.
GATE = 'read -r go && unset go PWD OLDPWD SHLVL && exec "$@"'


class Guard:
    """The worker's side of the watchdog, shared by all threads of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[int] = set()
        self._kept: set[Path] = set()
        self._watchdog: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Have `group` killed, should this process end before `unwatch`.

        Raises:
            OSError: there is no watchdog and none can be started.
        """
        with self._lock:
            self._watched.add(group)
            self._tell(_group("+", group))

    def unwatch(self, group: int) -> None:
        """Forget `group`; to be called before its leader is reaped, as its number may be used again after that."""
        with self._lock:
            if group in self._watched:
                self._watched.remove(group)
                with contextlib.suppress(OSError):
                    self._tell(_group("-", group))

    def keep(self, folder: Path) -> None:
        """Have `folder` removed with all that is in it, should this process end before `release`.

        Raises:
            OSError: there is no watchdog and none can be started.
        """
        with self._lock:
            self._kept.add(folder)
            self._tell(_folder("+", folder))

    def release(self, folder: Path) -> None:
        """Forget `folder`."""
        with self._lock:
            if folder in self._kept:
                self._kept.remove(folder)
                with contextlib.suppress(OSError):
                    self._tell(_folder("-", folder))

    def close(self) -> None:
        """End the watchdog; what is still watched is killed, what is still kept is removed."""
        with self._lock:
            watchdog, self._watchdog = self._watchdog, None
            if watchdog is not None:
                self._end(watchdog)

    def after_fork(self) -> None:
        """Forget everything, in a forked child: watchdog and processes are the parent's."""
        watchdog = self._watchdog
        self.__init__()  # type: ignore[misc]  # a new lock, too: another thread may have held the old one
        if watchdog is not None and watchdog.stdin is not None:
            watchdog.stdin.close()
            watchdog.returncode = 0  # not ours to wait for

    def _tell(self, line: str) -> None:
        if self._watchdog is not None:
            try:
                self._write(self._watchdog, line)
                return
            except BrokenPipeError:  # somebody killed it
                self._end(self._watchdog)
        self._watchdog = self._start()
        known = [_group("+", group) for group in self._watched] + [_folder("+", f) for f in self._kept]
        self._write(self._watchdog, "".join(known))

    @staticmethod
    def _write(watchdog: subprocess.Popen[bytes], lines: str) -> None:
        assert watchdog.stdin is not None
        watchdog.stdin.write(lines.encode())

    @staticmethod
    def _end(watchdog: subprocess.Popen[bytes]) -> None:
        assert watchdog.stdin is not None
        watchdog.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            watchdog.wait(timeout=5)

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(WATCHDOG), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env={},
            start_new_session=True,  # Ctrl-C in the worker's terminal is not for the watchdog
        )


def _group(sign: str, group: int) -> str:
    return f"{sign}{group}\n"


def _folder(sign: str, folder: Path) -> str:
    # In hexadecimal digits: a path may have any byte in it, a line's end too.
    return f"{sign}/{os.fsencode(folder).hex()}\n"


#: The guard of this process.
GUARD = Guard()
atexit.register(GUARD.close)
os.register_at_fork(after_in_child=GUARD.after_fork)
