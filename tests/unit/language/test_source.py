"""YAML as a tree: what its values are, and where a character of a text stands in the file."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from dramaturg.engine.language.report import Report
from dramaturg.engine.language.source import MAX_BYTES, MAX_STORED_DEPTH, MAX_WALK, Node, from_json
from dramaturg.engine.language.yamltree import read


def tree(text: str | bytes) -> Node:
    """Return the tree of a text without problems."""
    report = Report()
    node = read(text, "f.yaml", report)
    assert report.problems == ()
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("2020-01-01", "2020-01-01"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("True", True),
        ("false", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'null'", "null"),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ("!!int 5", 5),
        ("!!float 5", 5),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: c}}", {"a": {"b": "c"}}),
        ("|-\n  two\n  lines", "two\nlines"),
    ],
)
def test_plain_scalars_are_what_the_core_schema_of_yaml_1_2_says(written: str, value: Any) -> None:
    """No surprises: yes, on, dates and times are text, numbers are decimal."""
    found = tree(f"x: {written}\n").plain()["x"]
    assert found == value
    assert type(found) is type(value)


def test_a_byte_order_mark_and_other_line_ends_do_no_harm() -> None:
    """Files from other systems are read, and places stay right."""
    node = tree(b"\xef\xbb\xbfa: 1\r\nb: [2]\r\n")
    assert node.plain() == {"a": 1, "b": [2]}
    assert (node.key("b").at.line, node.key("b").at.column) == (2, 1)


def test_columns_count_characters_not_bytes() -> None:
    """Where an editor shows it."""
    value = tree("{ä: é, öü: x}\n").get("öü")
    assert value is not None
    assert (value.at.line, value.at.column) == (1, 12)


def test_a_file_that_is_too_large_is_not_read() -> None:
    """One byte more than is allowed."""
    report = Report()
    assert read(b"#" * (MAX_BYTES + 1), "f.yaml", report) is None
    assert [problem.code for problem in report.problems] == ["yaml.too_large"]
    assert read(b"#" * (MAX_BYTES - 2) + b"\n1", "f.yaml", Report()) is not None


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte() -> None:
    """Line and column are those of the first wrong byte."""
    report = Report()
    assert read("ä: 1\nbü: ".encode() + b"\xff\n", "f.yaml", report) is None
    assert [(p.code, p.line, p.column) for p in report.problems] == [("yaml.encoding", 2, 5)]


@pytest.mark.parametrize(
    "written",
    [
        '"say {{ MARK }}"',
        "'it''s {{ MARK }}'",
        '"a \\"quoted\\" \\\\ {{ MARK }}"',
        "plain {{ MARK }} text",
        '&anchor "{{ MARK }}"',
        "!!str '{{ MARK }}'",
        "|\n    first\n\n      {{ MARK }}\n",
        ">-\n    folded\n    {{ MARK }}\n",
        '"over\n    two {{ MARK }} lines"',
        '"\\u00e9\\t{{ MARK }}"',
    ],
)
def test_a_character_of_a_text_is_found_in_the_file(written: str) -> None:
    """Through quotes, escapes, anchors, indentation and folding."""
    text = f"before: 1\nx: {written}\nafter: 2\n"
    node = tree(text).get("x")
    assert node is not None
    at = node.within(node.value.index("MARK"))
    assert text.splitlines()[at.line - 1][at.column - 1 :].startswith("MARK")


def test_a_place_far_inside_a_text_is_the_text() -> None:
    """Looking for places costs no more than reading."""
    node = tree(f"x: {'a' * (MAX_WALK + 10)}\n").get("x")
    assert node is not None
    assert node.within(MAX_WALK + 5) == node.at
    assert node.within(MAX_WALK - 5).column == 4 + MAX_WALK - 5


def test_aliases_are_values_and_anchors_may_be_redefined() -> None:
    """The tree shares them; they cost what they stand for."""
    node = tree("a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x\n")
    assert node.plain() == {"a": [1, 2], "b": [1, 2], "c": 3, "d": 3}
    assert node.size == 1 + 3 + 3 + 1 + 1


def test_json_gives_the_same_tree() -> None:
    """Without places."""
    value = {"a": [1, 2.5, None, True, {"b": "c"}]}
    node = from_json(value)
    assert node.plain() == value
    assert node.at.line == 0


@pytest.mark.parametrize(
    "value",
    [{1: "a"}, {"a": object()}, {"a": float("nan")}, {"a": 2**63}, {"a": "\0"}, {"a": "\ud800"}],
)
def test_what_is_no_json_of_ours_is_refused(value: Any) -> None:
    """The same bounds as for YAML."""
    with pytest.raises(ValueError, match=r".+"):
        from_json(value)


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    """Deep data is found before it can do harm."""
    value: Any = 1
    for _ in range(MAX_STORED_DEPTH + 1):
        value = [value]
    with pytest.raises(ValueError, match="nested"):
        from_json(value)


def test_scalars_are_given_with_their_places() -> None:
    """As expressions name them."""
    node = tree(
        textwrap.dedent("""\
        a:
          - b: 1
          - 2
        c: x
    """)
    )
    assert [(place, scalar.value) for place, scalar in node.scalars("input")] == [
        ("input.a[0].b", 1),
        ("input.a[1]", 2),
        ("input.c", "x"),
    ]
