"""packs/examples, the script that looks at one file."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import subprocess
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Script = Callable[..., "subprocess.CompletedProcess[str]"]

SOURCE = b'''"""A docstring

of three lines."""

# a comment
import os  # code all the same

TEXT = """
# no comment

"""


class A:
    "One line."

    x: int = 1

    def method(self):
        """Doc."""

        async def inner():
            # comment
            return f"""
            {self}"""

        return inner


@property
def f(): return lambda: 0
'''


@pytest.fixture
def look(script: Script, tmp_path: Path) -> Callable[[bytes], dict[str, Any]]:
    """Look at a file with this content; it must be readable."""

    def run(content: bytes) -> dict[str, Any]:
        (tmp_path / "file.py").write_bytes(content)
        done = script("look_at_file.py", root=str(tmp_path), file="file.py")
        assert (done.returncode, done.stderr) == (0, "")
        return dict(json.loads(done.stdout))

    return run


def test_what_is_counted(look: Callable[[bytes], dict[str, Any]]) -> None:
    """Blank lines, comments and docstrings are no code; what stands in other texts is."""
    assert look(SOURCE) == {
        "file": "file.py",
        "bytes": len(SOURCE),
        "lines": 31,
        "code": 14,
        "functions": 3,
        "classes": 1,
        "longest": {"name": "A.method", "line": 19, "lines": 9},
        "problem": None,
    }


def code_by_tokens(path: str) -> int:
    """Count lines of code in another way: by tokens, docstrings by being alone where a statement begins."""
    lines: set[int] = set()
    statement: list[tokenize.TokenInfo] = []
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
    with open(path, "rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in {tokenize.NEWLINE, tokenize.ENDMARKER}:
                if [t.type for t in statement] != [tokenize.STRING]:
                    lines.update(n for t in statement for n in range(t.start[0], t.end[0] + 1))
                statement = []
            elif token.type not in silent:
                statement.append(token)
    return len(lines)


@pytest.mark.parametrize("module", ["base_events", "locks", "__main__", "constants"])
def test_real_files_are_counted_as_another_way_of_counting_does(script: Script, module: str) -> None:
    """Python's own files, counted by tokens and by names."""
    folder = os.path.dirname(asyncio.__file__)
    done = script("look_at_file.py", root=folder, file=f"{module}.py")
    result = json.loads(done.stdout)
    source = (Path(folder) / f"{module}.py").read_text()
    assert result["code"] == code_by_tokens(os.path.join(folder, f"{module}.py"))
    words = [line.split()[:2] for line in source.splitlines() if line.strip()]
    assert result["functions"] == sum(w[0] == "def" or w == ["async", "def"] for w in words)
    assert result["lines"] == source.count("\n")


def test_the_longest_function_is_the_one_that_python_knows(script: Script) -> None:
    """Its name, line and length are those of `inspect`."""
    done = script("look_at_file.py", root=os.path.dirname(inspect.__file__), file="asyncio/base_events.py")
    longest = json.loads(done.stdout)["longest"]
    source, line = inspect.getsourcelines(getattr(asyncio.BaseEventLoop, longest["name"].split(".")[1]))
    assert (longest["line"], longest["lines"]) == (line, len(source))


def test_the_first_of_equally_long_functions_is_the_longest(look: Callable[[bytes], dict[str, Any]]) -> None:
    """By line, so that the report is the same each time."""
    assert look(b"def b(): pass\ndef a(): pass\n")["longest"] == {"name": "b", "line": 1, "lines": 1}


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"", 0), (b"\n", 1), (b"x = 1", 1), (b"x = 1\r\ny = 2\r\n", 2), (b"\xef\xbb\xbfx = 1\n", 1)],
)
def test_small_files(look: Callable[[bytes], dict[str, Any]], content: bytes, lines: int) -> None:
    """Empty, without an end of line, with other ends of line, with a byte order mark."""
    result = look(content)
    assert (result["lines"], result["problem"], result["functions"]) == (lines, None, 0)


def test_a_declared_encoding_is_heeded(look: Callable[[bytes], dict[str, Any]]) -> None:
    """Latin-1 is a fine encoding for a file that says so."""
    assert look(b"# coding: latin-1\nx = '\xe9'\n")["problem"] is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"def f(:\n  pass\n", "line 1: invalid syntax"),
        (b"x = 1\n  y = 2\n", "line 2: unexpected indent"),
        (b"\x7fELF\0\0\1", "binary: it holds NUL bytes"),
        ("x = 1\n".encode("utf-16"), "binary: it holds NUL bytes"),
        (b"# coding: klingon\n", "unknown encoding: klingon"),
        (b"x = " + b"(" * 300 + b")" * 300, "line 1: too many nested parentheses"),
        (b"x = " + b"9" * 5000, "Exceeds the limit"),
    ],
)
def test_what_cannot_be_parsed_is_data(
    look: Callable[[bytes], dict[str, Any]], content: bytes, problem: str
) -> None:
    """The result says what is wrong and where; what needs a syntax tree is not known."""
    result = look(content)
    assert problem in result["problem"]
    assert result["bytes"] == len(content)
    assert {result[name] for name in ("code", "functions", "classes", "longest")} == {None}


def test_wrong_bytes_are_data(look: Callable[[bytes], dict[str, Any]]) -> None:
    """Whatever Python calls it; the words differ between its versions."""
    result = look(b"x = '\xff\xfe'\n")
    assert "0xff" in result["problem"]
    assert result["lines"] == 1


def test_nesting_that_no_stack_bears_is_data(look: Callable[[bytes], dict[str, Any]]) -> None:
    """Each version of Python gives up in its own way; none of them takes the script along."""
    result = look(b"x = " + b"-" * 100_000 + b"1\n")
    assert result["problem"]


def test_a_files_own_warnings_stay_unsaid(look: Callable[[bytes], dict[str, Any]]) -> None:
    r"""A doubtful escape such as "\d" is no problem; the fixture sees that stderr is empty."""
    assert look(b"x = '\\d'\n")["problem"] is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.py", "can't be read: No such file or directory"),
        ("loop.py", "can't be read: Too many levels of symbolic links"),
        ("folder.py", "can't be read: not a regular file"),
        ("pipe.py", "can't be read: not a regular file"),
    ],
)
def test_what_cannot_be_read_is_a_failure(script: Script, tmp_path: Path, name: str, reason: str) -> None:
    """With the reason as the last line of stderr; a pipe is not waited for."""
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    done = script("look_at_file.py", root=str(tmp_path), file=name)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", reason + "\n")


def test_any_bytes_have_a_result(script: Script, tmp_path: Path) -> None:
    """Random mixtures of bytes and of real code: never a traceback."""
    chance = random.Random(20_260_301)
    real = Path(asyncio.__file__).read_bytes()
    for number in range(12):
        part = bytearray(real[: chance.randrange(len(real))])
        for _ in range(chance.randrange(8)):
            part[chance.randrange(len(part)) : 0] = chance.randbytes(3)
        (tmp_path / f"{number}.py").write_bytes(part)
        done = script("look_at_file.py", root=str(tmp_path), file=f"{number}.py")
        assert (done.returncode, done.stderr) == (0, ""), bytes(part)
        assert json.loads(done.stdout)["bytes"] == len(part)
