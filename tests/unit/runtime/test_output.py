"""Output formats: what is printed becomes a value, or a failure that says where it stops making sense."""

from __future__ import annotations

import orjson
import pytest

from dramaturg.engine.runtime.capture import Captured
from dramaturg.engine.runtime.normalise import Refused
from dramaturg.engine.runtime.output import parsed_output, text_result


def captured(data: bytes, limit: int = 1000) -> Captured:
    stream = Captured(limit)
    stream.add(data)
    return stream


def refused(output_format: str, data: bytes):
    with pytest.raises(Refused) as caught:
        parsed_output(output_format, captured(data, 10_000_000))
    assert caught.value.failure.type == "InvalidOutput"
    return caught.value.failure


@pytest.mark.parametrize(
    ("output_format", "data", "value"),
    [
        ("json", b"", None),
        ("json", b" \r\n\t", None),
        ("json", b'{"a": 1}\r\n', {"a": 1}),
        ("json", b"\xef\xbb\xbf[1]", [1]),
        ("json", b"null", None),
        ("json", '"ä\u2028b"'.encode(), "ä\u2028b"),
        ("yaml", b"", None),
        ("yaml", b"# nothing\n", None),
        ("yaml", b"a: 1\r\nb: [x, 'y']\r\n", {"a": 1, "b": ["x", "y"]}),
        ("yaml", b"day: 2026-01-31\n", {"day": "2026-01-31"}),
        ("yaml", b"at: 2026-01-31T10:00:00Z\n", {"at": "2026-01-31T10:00:00Z"}),
        ("yaml", b"base: &b {x: 1}\nother: {<<: *b, y: 2}\n", {"base": {"x": 1}, "other": {"x": 1, "y": 2}}),
        ("jsonl", b"", []),
        ("jsonl", b'{"a": 1}\r\n\r\n2\r\n"x"', [{"a": 1}, 2, "x"]),
        ("jsonl", '"a\u2028b"\n1\n'.encode(), ["a\u2028b", 1]),
    ],
)
def test_values(output_format, data, value):
    """Line ends of either kind, byte order marks and emptiness are no trouble."""
    assert parsed_output(output_format, captured(data)) == value


@pytest.mark.parametrize(
    ("output_format", "data", "line", "column", "words"),
    [
        ("json", b"loading...\n{}", 1, 1, "Expecting value"),
        ("json", b'{\n  "a": 1\n}\n{}', 4, 1, "Extra data"),
        ("json", b'{"a": 1', 1, 8, "delimiter"),
        ("json", b"{'a': 1}", 1, 2, "double quotes"),
        ("jsonl", b'{"a": 1}\n\noops', 3, 1, "Expecting value"),
        ("jsonl", b"1 2", 1, 3, "Extra data"),
        ("yaml", b"a: 1\n b: 2\n", 2, 3, "mapping values"),
        ("yaml", b"a: [1\n", 2, 1, "did not find"),
        ("yaml", b"a: *nobody\n", 1, 4, "nobody"),
        ("yaml", b"--- 1\n--- 2\n", 2, 1, "another document"),
        ("yaml", b"!!python/object:os.system x", 1, 1, "could not determine a constructor"),
        ("json", b"1" * 6000, 1, 1, "digits"),
        ("json", b"[" * 200_000, 1, 1, "nested"),
    ],
)
def test_what_does_not_parse(output_format, data, line, column, words):
    """Format, line, column and what stands there."""
    failure = refused(output_format, data)
    assert words in failure.message
    assert f"does not parse as {output_format}" in failure.message
    assert (failure.details["line"], failure.details["column"]) == (line, column)
    assert len(failure.message) < 500


def test_the_place_is_shown():
    """A reader sees the trouble without opening the log."""
    failure = refused("json", b"Warning: old\n{}")
    assert failure.message.endswith('line 1, column 1, near "Warning: old\\n{}"')
    assert failure.details["near"] == "Warning: old\n{}"


@pytest.mark.parametrize("output_format", ["json", "yaml", "jsonl"])
def test_binary_output(output_format):
    """It says which byte, and in which line."""
    failure = refused(output_format, b"ok\n\xff\xfe\x00")
    assert failure.details["line"] == 2
    assert failure.details["position"] == 3
    assert "0xff is not UTF-8" in failure.message


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b"{a: " * 50_000, b"- " * 100_000, b"? " * 100_000, b"!!int x", b"\x01"]
)
def test_hostile_yaml_is_refused(data):
    """Neither a crash nor an exception of another kind."""
    refused("yaml", data)


def test_merges_of_merges_do_not_fill_the_memory():
    """Nine lines that would be a billion keys."""
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(10)) + "}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    assert "merged keys" in refused("yaml", "\n".join(lines).encode()).message


def test_output_that_was_cut_is_not_parsed():
    """It might parse, and be wrong."""
    with pytest.raises(Refused) as caught:
        parsed_output("jsonl", captured(b"1\n" * 100, limit=10))
    assert caught.value.failure.type == "PayloadTooLarge"
    assert caught.value.failure.details == {"size": 200, "limit": 10}


def test_text_results_are_kept_as_they_are():
    """Line ends, too; what is no UTF-8 is shown as such."""
    assert text_result(captured(b"a\r\n\xff"), captured(b""), 0, 10_000) == {
        "stdout": "a\r\n\ufffd",
        "stderr": "",
        "exit_code": 0,
    }


@pytest.mark.parametrize("data", [b"x" * 5000, b"\n" * 3000, b"\x01" * 2000, "ä".encode() * 2500])
def test_a_text_result_fits(data):
    """Cut, with a notice, whatever escaping makes of it."""
    result = text_result(captured(data, 10_000), captured(data, 10_000), 0, 2000)
    assert len(orjson.dumps(result)) <= 2000
    assert "left out" in result["stdout"]


def test_captured_keeps_both_ends():
    """The beginning up to the limit, and the last line."""
    stream = Captured(10)
    for number in range(100):
        stream.add(f"line {number}\n".encode())
    text, cut = stream.text(10)
    assert cut
    assert text.startswith("line 0\nlin\n[... ")
    assert stream.tail(20) == "line 98\nline 99\n"
    assert stream.total == 790


def test_captured_text_that_fits_is_whole():
    """No notice, no change."""
    assert captured(b"a\nb").text(3) == ("a\nb", False)
    assert captured(b"a\nb").tail(100) == "a\nb"
    assert captured(b"").text(3) == ("", False)
    assert captured(b"").tail(0) == ""


def test_a_cut_does_not_break_a_character():
    """Half of one is left out."""
    text, cut = captured("aä".encode() + b"x" * 50).text(2)
    assert cut
    assert text.startswith("a\n[")
    assert "\ufffd" not in text


def test_logs_can_be_stored_anywhere():
    """NUL is not text to every database."""
    assert captured(b"a\0b\xff").text(100) == ("a\ufffdb\ufffd", False)
