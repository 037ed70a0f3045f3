"""What is kept of an output stream."""

from __future__ import annotations

import codecs

from dramaturg.engine.runtime.normalise import readable

#: Bytes kept of the end of a stream that is longer than its limit: the end of stderr says why a process failed.
TAIL = 64 * 1024


class Captured:
    """A stream's first `limit` bytes and its last few; how much it had in all."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: Bytes that the stream had.
        self.total = 0
        self._head = bytearray()
        self._tail = b""

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.total += len(data)
        room = self.limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail = data[-TAIL:] if len(data) >= TAIL else (self._tail + data)[-TAIL:]

    @property
    def complete(self) -> bool:
        """Say whether everything was kept."""
        return self.total <= self.limit

    def data(self) -> bytes:
        """Return the bytes from the beginning, at most `limit`."""
        return bytes(self._head)

    def text(self, limit: int) -> tuple[str, bool]:
        """Return it as text for people, and whether a part was left out, which a notice in the text says then.

        Both ends of a stream over `limit` bytes are shown. Bytes that are no UTF-8, and NUL, become U+FFFD.
        """
        limit = min(limit, self.limit)
        if self.total <= limit:
            return readable(_decoded(self._head, final=True)), False
        head = self._head[:limit]
        tail = self.tail(min(TAIL, limit // 4))
        left_out = max(0, self.total - len(head) - len(tail.encode()))
        notice = f"\n[... {left_out} of {self.total} bytes left out: more than {limit} are not kept ...]\n"
        return readable(_decoded(head, final=False)) + notice + tail, True

    def tail(self, size: int) -> str:
        """Return at most the last `size` bytes as text, from the beginning of a line where there is one."""
        data = bytes(self._head[-size:]) if size else b""
        if not self.complete:
            data = (data + self._tail)[-size:] if size else b""
        if self.total > len(data):
            first, newline, rest = data.partition(b"\n")
            data = rest if newline and rest else first
        return readable(data.decode("utf-8", "replace"))


def _decoded(data: bytes | bytearray, *, final: bool) -> str:
    """Decode; where more follows, without the broken character that the cut may leave at the end."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(data), final)
