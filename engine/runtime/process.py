"""One child process: started, fed, read, stopped, and never left behind.

One thread waits for everything at once: both outputs, room on stdin, the end of the child, a request to stop, and the
next deadline. Nothing is polled where the system has process descriptors (Linux), but for the control file: it is
looked at now and then.

How a child ends::

    running ──exits──────────────────────────────▶ draining ──▶ over
       │ timeout, silence or stop                     ▲
       ▼                                              │
    asked (SIGTERM to the group) ──exits──────────────┤
       │ grace                                        │
       ▼                                              │
    made (SIGKILL to the group) ──exits───────────────┘

*Draining* reads what is left in the pipes until they are closed, for a moment only: a process that the child left
behind may hold them open for ever. In the end the whole group is killed, whatever happened.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dramaturg.engine.runtime.capture import Captured
from dramaturg.engine.runtime.control import ControlFile
from dramaturg.engine.runtime.guard import GATE, GUARD
from dramaturg.engine.runtime.stop import Stop

#: Seconds for which outputs are read after the child ended, when other processes still hold them.
AFTER_EXIT = 1.0
#: The same when the whole group was killed: what is in the pipe is there already.
AFTER_KILL = 0.1
#: Seconds to wait for a killed process to go; one that hangs in the kernel is given up.
UNKILLABLE = 5.0
#: Seconds between looks at the child where the system has no process descriptors.
SLICE = 0.05
_CHUNK = 64 * 1024
#: The longest wait of one `select`; deadlines may be further away than it takes.
_LONGEST_WAIT = 3600.0

How = Literal["exited", "timed_out", "silent", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command to run."""

    command: Sequence[str]
    cwd: Path | None
    #: Its environment, whole.
    environment: Mapping[str, str]
    stdin: bytes
    #: Seconds; None: no limit.
    timeout: float | None
    grace: float
    #: Bytes kept of each output.
    stdout_limit: int
    stderr_limit: int
    #: What the process says while it runs.
    control: ControlFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child process ended."""

    how: How
    #: Its exit code, or minus the number of the signal that ended it.
    code: int
    stdout: Captured
    stderr: Captured


def run_process(job: Job, stop: Stop) -> Ended:
    """Run a command to its end; nothing of its process group is left when this returns.

    Raises:
        OSError: it can't be started.
    """
    process = subprocess.Popen(
        ["/bin/sh", "-c", GATE, "gate", *job.command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=job.cwd,
        env=job.environment,
        start_new_session=True,
    )
    try:
        GUARD.watch(process.pid)
        return _Supervision(process, job, stop).run()
    finally:
        _put_away(process)


def _put_away(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group, then let go of the child.

    In this order: until the leader is reaped its number, which is the group's, can't be used again.
    """
    _signal_group(process.pid, signal.SIGKILL)
    GUARD.unwatch(process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=AFTER_EXIT)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class _Supervision:
    """The loop around one child; lives in one thread."""

    def __init__(self, process: subprocess.Popen[bytes], job: Job, stop: Stop) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._pid = process.pid
        self._job = job
        self._control = job.control
        self._stop = stop
        self._selector = selectors.PollSelector()
        self._stdin = process.stdin.fileno()
        self._unwritten = memoryview(b"\n" + job.stdin)  # the first line opens the gate
        self._outputs = {
            process.stdout.fileno(): Captured(job.stdout_limit),
            process.stderr.fileno(): Captured(job.stderr_limit),
        }
        self._captured = tuple(self._outputs.values())
        self._close_stdin = process.stdin.close
        self._how: How = "exited"
        self._code: int | None = None
        self._asked = self._killed = False
        self._poll_child = False
        #: When the next thing happens by itself; None: never.
        self._deadline = None if job.timeout is None else time.monotonic() + job.timeout
        self._over = False

    def run(self) -> Ended:
        """Supervise until the child has ended and its outputs are read."""
        with self._selector, self._child_watched(), self._stop_watched():
            for fd in self._outputs:
                os.set_blocking(fd, False)
                self._selector.register(fd, selectors.EVENT_READ, self._read)
            os.set_blocking(self._stdin, False)
            self._selector.register(self._stdin, selectors.EVENT_WRITE, self._write)
            while not self._over:
                for key, _ in self._selector.select(self._patience()):
                    key.data(key.fd)
                if self._poll_child:
                    self._look_at_child(-1)
                if time.monotonic() >= self._control.next_look:
                    self._control.look()
                self._proceed(time.monotonic())
        self._control.finish()
        stdout, stderr = self._captured
        code = -signal.SIGKILL if self._code is None else self._code
        return Ended(how=self._how, code=code, stdout=stdout, stderr=stderr)

    @contextlib.contextmanager
    def _child_watched(self) -> Iterator[None]:
        try:
            fd = os.pidfd_open(self._pid)
        except (AttributeError, OSError):
            self._poll_child = True
            yield
            return
        try:
            self._selector.register(fd, selectors.EVENT_READ, self._look_at_child)
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _stop_watched(self) -> Iterator[None]:
        ours, theirs = os.pipe()
        try:
            self._selector.register(ours, selectors.EVENT_READ, self._forget)
            with self._stop.waking(_byte_writer(theirs)):
                yield
        finally:
            os.close(ours)
            os.close(theirs)

    def _patience(self) -> float:
        moments = [self._deadline, self._control.next_look, None if self._asked else self._control.pulse.due]
        now = time.monotonic()
        wait = min(moment for moment in moments if moment is not None) - now
        return min(max(wait, 0.0), SLICE if self._poll_child and self._code is None else _LONGEST_WAIT)

    def _proceed(self, now: float) -> None:
        """Take the next step of the picture above, if it is time."""
        late = self._deadline is not None and now >= self._deadline
        if self._code is not None:
            self._over = late or not self._outputs
        elif not self._asked:
            how = self._how_to_end(late)
            if how is not None:
                self._how = how
                self._asked = True
                self._deadline = now + self._job.grace
                _signal_group(self._pid, signal.SIGTERM)
        elif late and not self._killed:
            self._killed = True
            self._deadline = now + UNKILLABLE
            _signal_group(self._pid, signal.SIGKILL)
        elif late:
            self._over = True

    def _how_to_end(self, late: bool) -> How | None:
        """Say why the child is to end; None: it may go on."""
        if self._stop.cancelled:
            return "cancelled"
        if late:
            return "timed_out"
        return "silent" if self._control.silent() else None

    def _look_at_child(self, fd: int) -> None:
        """Find out whether the child has ended, without reaping it."""
        seen = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if seen is None or self._code is not None:
            return
        self._code = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
        if fd >= 0:
            self._forget(fd)
        self._deadline = self._drain_until(time.monotonic())

    def _drain_until(self, now: float) -> float:
        if not self._asked:
            return now + AFTER_EXIT
        if self._killed or self._deadline is None:
            return now + AFTER_KILL
        return max(now + AFTER_KILL, self._deadline)  # the others of the group have their grace period, too

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._outputs[fd].add(data)
        else:
            self._forget(fd)
            del self._outputs[fd]

    def _write(self, fd: int) -> None:
        try:
            self._unwritten = self._unwritten[os.write(fd, self._unwritten[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # the child does not want to know
            self._unwritten = self._unwritten[:0]
        if not self._unwritten:
            self._forget(fd)
            self._close_stdin()

    def _forget(self, fd: int) -> None:
        self._selector.unregister(fd)


def _byte_writer(fd: int) -> Callable[[], None]:
    def wake() -> None:
        os.write(fd, b"!")

    return wake
