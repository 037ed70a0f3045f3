"""Declared parameters: what is refused, in which words, and what a declaration must be."""

from __future__ import annotations

from typing import Any

import pytest

from dramaturg.engine.language.schema import ParameterSet

RESIZE = {
    "width": {"type": "integer", "required": True, "minimum": 1},
    "mode": {"enum": ["fit", "crop"], "default": "fit"},
    "note": {"type": ["string", "null"]},
    "token": {"type": "integer", "secret": True, "position": 0},
}


@pytest.mark.parametrize(
    ("values", "sentences"),
    [
        ({"width": 3}, []),
        ({"width": 3, "note": None}, []),
        ({}, ["'width' is required"]),
        ({"width": None}, ["'width' must be a whole number, not null"]),
        ({"width": True}, ["'width' must be a whole number, not true"]),
        ({"width": 0}, ["'width' must be at least 1, not 0"]),
        ({"width": 1, "mode": "cut"}, ["'mode' must be one of 'fit', 'crop', not 'cut'"]),
        ({"width": 1, "note": 5}, ["'note' must be null or text, not 5"]),
        ({"width": 1, "token": "hidden"}, ["'token' has a value that is not allowed"]),
        ({"width": 1, "nota": ""}, ["'nota' is not a known name (did you mean 'note'?)"]),
        ({"width": 1, "zzz": ""}, ["'zzz' is not a known name (known: token, width, mode, note)"]),
        (
            {"widht": 1, "mode": 2},
            [
                "'width' is required",
                "'widht' is not a known name (did you mean 'width'?)",
                "'mode' must be one of 'fit', 'crop', not 2",
            ],
        ),
    ],
)
def test_every_wrong_value_is_named(values: dict[str, Any], sentences: list[str]) -> None:
    """One sentence each, by name; a secret's value is never in one."""
    assert ParameterSet(RESIZE).problems(values) == sentences


def test_nested_values_are_named_by_their_path() -> None:
    """The path leads to the wrong value."""
    point = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
    declared = ParameterSet({"points": {"type": "array", "items": {**point, "additionalProperties": False}}})
    assert declared.problems({"points": [{"x": 1}, {"x": "a"}, {"y": 1}]}) == [
        "'points.1.x' must be a number, not 'a'",
        "'points.2' must not have 'y'",
        "'points.2' must have 'x'",
    ]


def test_defaults_fill_in_what_is_missing_and_nothing_else() -> None:
    """An explicit null is a value; a default is never shared between calls."""
    declared = ParameterSet({"a": {"default": []}, "b": {"default": 1, "required": True}, "c": {}})
    first = declared.with_defaults({"b": None})
    assert first == {"a": [], "b": None}
    first["a"].append(1)
    assert declared.with_defaults({}) == {"a": [], "b": 1}
    assert declared.required == ()


def test_no_declaration_takes_anything_and_an_empty_one_takes_nothing() -> None:
    """`parameters: {}` is a promise, a missing one is not."""
    assert ParameterSet(None).problems({"a": 1}) == []
    assert ParameterSet({}).problems({"a": 1}) == ["'a' is not a known name (none is declared)"]
    assert ParameterSet({"b": {}}, closed=False).problems({"a": 1}) == []
    assert ParameterSet({"b": {}}, closed=False).problems([1]) == ["a map is expected, not a list"]  # type: ignore[arg-type]


def test_the_whole_is_a_json_schema_without_our_words() -> None:
    """Forms and documentation read it."""
    declared = ParameterSet(RESIZE)
    assert declared.names == ("token", "width", "mode", "note")
    assert declared.secret == {"token"}
    assert declared.schema == {
        "type": "object",
        "properties": {
            "token": {"type": "integer"},
            "width": {"type": "integer", "minimum": 1},
            "mode": {"enum": ["fit", "crop"]},
            "note": {"type": ["string", "null"]},
        },
        "required": ["width"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("declared", "sentences"),
    [
        (None, []),
        (RESIZE, []),
        ({"a": {"type": "object", "required": ["b"]}}, []),
        ({"a": {"x-form": "wide"}}, []),
        ([], ["a map of names to schemas is expected, not a list"]),
        ({"a": "integer"}, ["a: a map such as {type: string} is expected, not 'integer'"]),
        ({"a": {"type": "intger"}}, ["a.type: there is no type 'intger' (did you mean 'integer'?)"]),
        (
            {"a": {"minimun": 1}},
            ["a.minimun: 'minimun' is not a word of JSON Schema (did you mean 'minimum'?)"],
        ),
        ({"a": {"minimum": "x"}}, ["a.minimum: must be a number, not 'x'"]),
        ({"a": {"required": "yes"}}, ["a.required: true or false is expected, not 'yes'"]),
        ({"a": {"secret": 1}}, ["a.secret: true or false is expected, not 1"]),
        ({"a": {"position": "first"}}, ["a.position: a whole number is expected, not 'first'"]),
        (
            {"a": {"type": "integer", "default": "x"}},
            ["a.default: the default is not allowed: 'a' must be a whole number, not 'x'"],
        ),
        (
            {"a": {"properties": {"b": {"required": True}}}},
            [
                "a.properties.b.required: inside a schema, `required` is the list of names that an object must have"
            ],
        ),
        (
            {"a": {"items": {"typ": "string"}}},
            ["a.items.typ: 'typ' is not a word of JSON Schema (did you mean 'type'?)"],
        ),
    ],
)
def test_unsound_declarations_are_refused(declared: Any, sentences: list[str]) -> None:
    """Words that would do nothing are refused, too."""
    assert ParameterSet.problems_of(declared) == sentences


def test_no_schema_is_fetched_and_no_pattern_is_slow() -> None:
    """References lead nowhere outside, patterns that need backtracking are no patterns."""
    assert "not fetched" in ParameterSet.problems_of({"a": {"$ref": "http://example.invalid/a"}})[0]
    assert ParameterSet.problems_of({"a": {"pattern": "(?=a)"}}) != []
    slow = ParameterSet({"a": {"pattern": "^(a+)+$"}})
    assert slow.problems({"a": "a" * 5000 + "b"}) != []


def test_formats_are_checked() -> None:
    """A format that is accepted does something."""
    assert ParameterSet({"a": {"format": "email"}}).problems({"a": "x"}) == [
        "'a' must be written as email, and 'x' is not"
    ]
    assert ParameterSet.problems_of({"a": {"format": "emial"}}) != []
