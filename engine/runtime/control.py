"""The control file of a process action: what it says of itself while it runs (LANGUAGE 2).

The process appends lines of JSON; the thread that supervises it looks now and then, and once more after its end. Of
what a look finds only the last heartbeat, progress and message are passed on: a program that talks without end keeps
nobody busy. A line that makes no sense is no failure; the attempt's log says so.
"""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.runtime.normalise import readable
from dramaturg.engine.runtime.pulse import Pulse, checked_beat
from dramaturg.engine.runtime.request import Beat, LogChunk

#: Seconds between looks: while there is something to see, and after a while without.
OFTEN, SELDOM = 0.2, 1.0
#: How much longer the next pause is when nothing was seen.
_LONGER = 1.5
#: A sign of life is seen at the latest after this share of the time in which it is due.
_SHARE = 0.25
#: Bytes that a line may have, that one look reads, and that the last look reads.
LINE, LOOK, LAST = 256 * 1024, 1024 * 1024, 16 * 1024 * 1024
#: Complaints that the log gets; the others are counted.
NOTICES = 20
_SAYS = ("heartbeat", "progress", "message", "pending")


class ControlFile:
    """One process's control file, read as it grows."""

    def __init__(self, file: Path, pulse: Pulse) -> None:
        self.pulse = pulse
        self._file = file
        self._read = 0
        self._changed = 0
        self._rest = b""
        self._skipping = False
        self._line = 0
        self._notices: list[str] = []
        self._complaints = 0
        due = pulse.due
        limit = SELDOM if due is None else max(0.02, (due - time.monotonic()) * _SHARE)
        self._often, self._seldom = min(OFTEN, limit), min(SELDOM, limit)
        self._pause = self._often
        #: When to look next, on the monotonic clock.
        self.next_look = time.monotonic() + self._pause

    def look(self) -> None:
        """Read what is new, and pass it on."""
        data = self._new(LOOK)
        self._pause = self._often if data else min(self._pause * _LONGER, self._seldom)
        self.next_look = time.monotonic() + self._pause
        self._take(data)

    def silent(self) -> bool:
        """Say whether a sign of life is overdue, having looked for one."""
        if not self.pulse.silent():
            return False
        self.look()
        return self.pulse.silent()

    def finish(self) -> None:
        """Read what is left when the process is gone; a last line needs no end."""
        data = self._new(LAST + 1)
        if len(data) > LAST:
            self._complain(f"the last {LAST} bytes and more came at once: what is beyond them is not read")
        self._take(data[:LAST] + b"\n")

    def logs(self) -> tuple[LogChunk, ...]:
        """Return what is to be said about lines that made no sense."""
        if not self._notices:
            return ()
        more = self._complaints - len(self._notices)
        lines = [*self._notices, *([f"... and {more} more"] if more else [])]
        text = "".join(f"WARNING DRAMATURG_CONTROL_FILE: {line}\n" for line in lines)
        return (LogChunk(stream="log", text=readable(text)),)

    def _new(self, limit: int) -> bytes:
        try:
            # Without waiting: nobody knows what the process has made of its file.
            file = os.open(self._file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return b""
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                return b""
            rewritten = found.st_size == self._read and found.st_mtime_ns != self._changed
            if found.st_size < self._read or (rewritten and self._read):  # `>` where `>>` was meant
                self._read, self._rest, self._skipping = 0, b"", False
            self._changed = found.st_mtime_ns
            data = os.pread(file, min(limit, found.st_size - self._read), self._read)
            self._read += len(data)
            return data
        finally:
            os.close(file)

    def _take(self, data: bytes) -> None:
        if not data:
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest
        beats = [beat for line in lines if (beat := self._heard(line)) is not None]
        if len(self._rest) > LINE:
            self._rest = b""
            if not self._skipping:
                self._complain(f"line {self._line + 1} has more than {LINE} bytes")
            self._skipping = True
        if beats:
            self.pulse.beat(_together(beats))

    def _heard(self, line: bytes) -> Beat | None:
        self._line += 1
        if self._skipping:  # the end of a line that was too long
            self._skipping = False
            return None
        if not line.strip():
            return None
        try:
            return self._understood(line)
        except ValueError as error:
            self._complain(f"line {self._line}: {error}")
            return None

    def _understood(self, line: bytes) -> Beat | None:
        if len(line) > LINE:
            raise ValueError(f"it has more than {LINE} bytes")
        said = _parsed(line)
        for name in said:
            if name not in _SAYS:
                raise ValueError(
                    f"{name!r:.50} is not known ({did_you_mean(name, _SAYS) or ', '.join(_SAYS)})"
                )
        if said.get("pending", True) is not True:
            raise ValueError("pending can only be true")
        beat = checked_beat(
            heartbeat="heartbeat" in said,
            details=said.get("heartbeat"),
            progress=said.get("progress"),
            message=said.get("message"),
        )
        if "pending" in said:
            self.pulse.say_pending()
        return beat if beat.heartbeat or beat.progress is not None or beat.message is not None else None

    def _complain(self, what: str) -> None:
        self._complaints += 1
        if len(self._notices) < NOTICES:
            self._notices.append(what)


def _parsed(line: bytes) -> dict[str, JSON]:
    shown = readable(line[:80].decode("utf-8", "replace"))
    try:
        said = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise ValueError(f"not JSON: {shown}") from None
    if not isinstance(said, dict):
        raise ValueError(f"a map is expected: {shown}")
    return said


def _together(beats: list[Beat]) -> Beat:
    """Return the last of everything that was said."""
    hearts = [beat.details for beat in beats if beat.heartbeat]
    fractions = [beat.progress for beat in beats if beat.progress is not None]
    messages = [beat.message for beat in beats if beat.message is not None]
    return Beat(
        heartbeat=bool(hearts),
        details=hearts[-1] if hearts else None,
        progress=fractions[-1] if fractions else None,
        message=messages[-1] if messages else None,
    )
