"""What an action's code may say and ask while it runs: the functions that `dramaturg` offers to it.

They work in a function that is an action, in its coroutines, in threads that got a copy of its context
(``asyncio.to_thread``, ``contextvars.copy_context``), and in a Python script that is an action or was started by one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from dramaturg.engine.errors import JSON
from dramaturg.engine.runtime.pulse import checked_beat
from dramaturg.engine.runtime.request import Beat


def heartbeat(details: JSON = None) -> None:
    """Say that the action is alive; `details` reach the next attempt, should this one not succeed.

    Raises:
        ValueError: the details are no JSON value, or too large (64 KiB).
        RuntimeError: this is no action, or its attempt is over.
    """
    _speaker("heartbeat").beat(checked_beat(heartbeat=True, details=details))


def progress(fraction: float, message: str | None = None) -> None:
    """Say how far the action is, from 0 to 1, and what it does, for people; a sign of life, too.

    Raises:
        ValueError: the fraction is no such number, or the message no text.
        RuntimeError: this is no action, or its attempt is over.
    """
    beat = checked_beat(heartbeat=False, progress=fraction, message=message)
    if beat.progress is None:
        raise ValueError("progress is None: a number from 0 to 1 is expected")
    _speaker("progress").beat(beat)


def pending() -> None:
    """Say that the action is to be completed later, by its token; what it returns does not count then.

    Raises:
        RuntimeError: this is no action, or its attempt is over.
    """
    _speaker("pending").say_pending()


def last_heartbeat() -> JSON:
    """Return the details of the last heartbeat of the attempts before this one; None if there was none.

    Raises:
        RuntimeError: this is no action.
    """
    return _speaker("last_heartbeat").last_heartbeat


def token() -> str:
    """Return what completes this attempt from outside, once it is pending.

    Raises:
        RuntimeError: this is no action.
    """
    return _speaker("token").token


class Speaker(Protocol):
    """Somebody who passes on what an action says."""

    @property
    def last_heartbeat(self) -> JSON:
        """Return the details of the last heartbeat of the attempts before."""

    @property
    def token(self) -> str:
        """Return the attempt's token."""

    def beat(self, beat: Beat) -> None:
        """Pass on a sign of life."""

    def say_pending(self) -> None:
        """Pass on that the attempt is pending."""


_current: ContextVar[Speaker | None] = ContextVar("dramaturg_attempt", default=None)


@contextmanager
def speaking(speaker: Speaker) -> Iterator[None]:
    """Have the functions of this module speak to `speaker`, in this context."""
    before = _current.set(speaker)
    try:
        yield
    finally:
        _current.reset(before)


def _speaker(name: str) -> Speaker:
    speaker = _current.get()
    if speaker is not None:
        return speaker
    file = os.environ.get("DRAMATURG_CONTROL_FILE")
    if file:
        return _Script(file)
    raise RuntimeError(
        f"dramaturg.{name}() is for actions while they run: this is none, or a thread that was started "
        "without the action's context (asyncio.to_thread and contextvars.copy_context().run pass it on)"
    )


class _Script:
    """The attempt of a script: it speaks by the control file, as any program does."""

    def __init__(self, file: str) -> None:
        self._file = file

    @property
    def last_heartbeat(self) -> JSON:
        file = os.environ.get("DRAMATURG_LAST_HEARTBEAT")
        if not file:
            return None
        with open(file, encoding="utf-8") as opened:
            return json.load(opened)

    @property
    def token(self) -> str:
        return os.environ.get("DRAMATURG_TOKEN", "")

    def beat(self, beat: Beat) -> None:
        said: dict[str, JSON] = {"heartbeat": beat.details} if beat.heartbeat else {}
        said |= {"progress": beat.progress} if beat.progress is not None else {}
        said |= {"message": beat.message} if beat.message is not None else {}
        self._append(said)

    def say_pending(self) -> None:
        self._append({"pending": True})

    def _append(self, said: dict[str, JSON]) -> None:
        try:
            file = os.open(self._file, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            raise RuntimeError("the attempt that this program belonged to is over") from None
        try:
            os.write(file, json.dumps(said).encode() + b"\n")
        finally:
            os.close(file)
