"""Declared parameters and outputs: JSON Schema by name, compiled once and checked in plain sentences.

A declaration maps names to JSON Schemas (draft 2020-12), each with four words of ours, which are no JSON Schema:
`required`, `secret`, `default` and `position` (LANGUAGE 2). A schema is closed in itself: nothing is ever fetched,
and regular expressions run in linear time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.secret import holds

#: Words of a declaration that are ours; `required` is, too, where it is true or false.
OURS = frozenset({"secret", "default", "position"})

#: Everything that draft 2020-12 knows. Another word would do nothing, so it is refused.
# fmt: off
KEYWORDS = frozenset((
    "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$comment", "$defs", "allOf", "anyOf", "oneOf",
    "not", "if", "then", "else", "dependentSchemas", "prefixItems", "items", "contains", "properties",
    "patternProperties", "additionalProperties", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties", "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum",
    "minimum", "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems",
    "uniqueItems", "maxContains", "minContains", "maxProperties", "minProperties", "required",
    "dependentRequired", "title", "description", "default", "deprecated", "readOnly", "writeOnly",
    "examples", "format",
))
# fmt: on

#: Where schemas lie inside a schema: as the value, in a list, or in a map by name.
_ONE = frozenset(("not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"))
_ONE |= {"unevaluatedItems", "unevaluatedProperties"}
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs")

#: What the types of JSON are called in a sentence.
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "null",
}

#: A value longer than this is not shown in a sentence.
_SHOWN = 80

#: Characters of a sentence that the validator words itself; it may hold a whole value.
_LONG = 300

#: Path into a declaration, such as ("width", "minimum"), and a sentence about what stands there.
Finding = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True, slots=True)
class _Parameter:
    validator: jsonschema_rs.Draft202012Validator | None
    secret: bool


class ParameterSet:
    """`parameters:` or `output:` of an action or workflow, compiled once."""

    __slots__ = ("_closed", "_declared", "_defaults", "_parameters", "_required", "names", "schema", "secret")

    #: The declared names, in order of `position`, then as written.
    names: tuple[str, ...]
    #: Names whose values must not be shown.
    secret: frozenset[str]
    #: A JSON Schema object for the whole, for forms and documentation.
    schema: JSON

    def __init__(self, declared: Mapping[str, JSON] | None, *, closed: bool = True) -> None:
        """Compile `declared`; None takes anything.

        Args:
            closed: a name that is not declared is a problem. Outputs are open: an action may return more.
        Raises:
            ValueError: the declaration is not sound (see :meth:`problems_of`).
        """
        self._declared = declared is not None
        self._closed = closed and self._declared
        given = {name: _as_map(schema) for name, schema in (declared or {}).items()}
        self.names = tuple(sorted(given, key=lambda name: given[name].get("position", len(given))))
        self.secret = frozenset(name for name, schema in given.items() if schema.get("secret") is True)
        self._defaults = {name: schema["default"] for name, schema in given.items() if "default" in schema}
        self._required = tuple(
            n for n in self.names if given[n].get("required") is True and n not in self._defaults
        )
        plain = {name: _plain(given[name]) for name in self.names}
        self._parameters = {
            name: _Parameter(_validator(schema) if schema else None, name in self.secret)
            for name, schema in plain.items()
        }
        self.schema = {"type": "object", "properties": plain, "required": list(self._required)}
        if self._closed:
            self.schema["additionalProperties"] = False

    def problems(self, values: Mapping[str, JSON]) -> list[str]:
        """Return a sentence for each thing that is wrong with `values`, by name; empty if they are allowed.

        A value that holds a secret can't be looked at: it is checked by whoever opens it.
        """
        if not self._declared:
            return []
        if not isinstance(values, Mapping):
            return [f"a map is expected, not {_kind(values)}"]
        found = [f"'{name}' is required" for name in self._required if name not in values]
        for name, value in values.items():
            parameter = self._parameters.get(name)
            if parameter is None:
                hint = near_or_known(name, self.names)
                found += [f"'{name}' is not a known name ({hint})"] if self._closed else []
            elif (
                parameter.validator is not None
                and not holds(value)
                and not parameter.validator.is_valid(value)
            ):
                found += _refusals(name, parameter, value)
        return found

    def with_defaults(self, values: Mapping[str, JSON]) -> dict[str, JSON]:
        """Return `values` and the defaults of what is missing; an explicit null is a value (LANGUAGE 2)."""
        missing = {n: copy.deepcopy(v) for n, v in self._defaults.items() if n not in values}
        return {**values, **missing}

    @property
    def required(self) -> tuple[str, ...]:
        """Return the names that must be given: required, and without a default."""
        return self._required

    @property
    def closed(self) -> bool:
        """Return whether a name that is not declared is refused."""
        return self._closed

    @staticmethod
    def problems_of(declared: JSON) -> list[str]:
        """Return a sentence for each thing that is wrong with a declaration; empty if it is sound."""
        return [f"{'.'.join(map(str, path))}: {text}" if path else text for path, text in findings(declared)]


def near_or_known(name: str, known: Collection[str]) -> str:
    """Return a hint for a name that is not known: the nearest one, or those that there are."""
    hint = did_you_mean(name, known)
    if hint or not known:
        return hint or "none is declared"
    return f"known: {', '.join(list(known)[:12])}{', ...' if len(known) > 12 else ''}"


def findings(declared: JSON) -> Iterator[Finding]:
    """Give each thing that is wrong with a declaration, with the path to it."""
    if declared is None:
        return
    if not isinstance(declared, Mapping):
        yield (), f"a map of names to schemas is expected, not {_kind(declared)}"
        return
    for name, schema in declared.items():
        yield from _findings_of(name, schema)


def _findings_of(name: str, schema: JSON) -> Iterator[Finding]:
    if not isinstance(schema, Mapping):
        yield (name,), f"a map such as {{type: string}} is expected, not {_kind(schema)}"
        return
    found = [*_words(name, schema), *_unknown_keywords((name,), _plain(schema))]
    found = found or list(_unsound(name, schema))
    yield from found
    if not found and "default" in schema:
        parameter = _Parameter(_validator(_plain(schema)), schema.get("secret") is True)
        for sentence in _refusals(name, parameter, schema["default"]):
            yield (name, "default"), f"the default is not allowed: {sentence}"


def _words(name: str, schema: Mapping[str, JSON]) -> Iterator[Finding]:
    required = schema.get("required", False)
    if not isinstance(required, bool | list):
        yield (name, "required"), f"true or false is expected, not {_kind(required)}"
    if not isinstance(schema.get("secret", False), bool):
        yield (name, "secret"), f"true or false is expected, not {_kind(schema['secret'])}"
    position = schema.get("position", 0)
    if isinstance(position, bool) or not isinstance(position, int):
        yield (name, "position"), f"a whole number is expected, not {_kind(position)}"


def _unknown_keywords(path: tuple[str | int, ...], schema: JSON) -> Iterator[Finding]:
    if not isinstance(schema, Mapping):
        return
    for word, value in schema.items():
        here = (*path, word)
        if word not in KEYWORDS and not word.startswith("x-"):
            yield here, _unknown_keyword(word)
        elif word in _ONE:
            yield from _unknown_keywords(here, value)
        elif word in _LISTED and isinstance(value, list):
            for index, inner in enumerate(value):
                yield from _unknown_keywords((*here, index), inner)
        elif word in _NAMED and isinstance(value, Mapping):
            for key, inner in value.items():
                yield from _unknown_keywords((*here, key), inner)


def _unknown_keyword(word: str) -> str:
    if word in OURS:
        return f"`{word}` belongs to a parameter as a whole: not into the schema of a part of it"
    hint = did_you_mean(word, KEYWORDS | OURS) or "it would do nothing"
    return f"'{word}' is not a word of JSON Schema ({hint})"


def _unsound(name: str, schema: Mapping[str, JSON]) -> Iterator[Finding]:
    plain = _plain(schema)
    errors = list(_META.iter_errors(plain))
    for error in errors:
        yield (name, *error.instance_path), _unsound_sentence(error)
    if not errors:
        try:
            _validator(plain)
        except ValueError as error:
            yield (name,), str(getattr(error, "message", error)).splitlines()[0]


def _unsound_sentence(error: jsonschema_rs.ValidationError) -> str:
    word = error.instance_path[-1] if error.instance_path else ""
    if word == "required" and isinstance(error.instance, bool):
        return "inside a schema, `required` is the list of names that an object must have"
    if word == "type" and isinstance(error.instance, str):
        hint = did_you_mean(error.instance, _TYPES) or f"known: {', '.join(_TYPES)}"
        return f"there is no type '{error.instance}' ({hint})"
    return _sentence(error)


#: Tells whether something is a schema at all.
_META = jsonschema_rs.Draft202012Validator({"$ref": "https://json-schema.org/draft/2020-12/schema"})


def _as_map(schema: JSON) -> Mapping[str, JSON]:
    if not isinstance(schema, Mapping):
        raise ValueError(f"a schema is a map, not {_kind(schema)}")
    return schema


def _plain(schema: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the JSON Schema without our words."""
    return {
        word: value
        for word, value in schema.items()
        if word not in OURS and not (word == "required" and isinstance(value, bool))
    }


def _validator(schema: dict[str, JSON]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        schema,
        validate_formats=True,
        ignore_unknown_formats=False,
        retriever=_refuse_to_fetch,
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"a schema is not fetched from elsewhere: {uri}")


def _refusals(name: str, parameter: _Parameter, value: JSON) -> list[str]:
    if parameter.validator is None:
        return []
    found = []
    for error in parameter.validator.iter_errors(value):
        where = f"'{'.'.join([name, *(str(part) for part in error.instance_path)])}'"
        said = "has a value that is not allowed" if parameter.secret else _sentence(error)
        found.append(f"{where} {said}")
    return found


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    """Say what is wrong with a value, as the end of a sentence that starts with its name."""
    kind, facts = error.kind.name, error.kind.as_dict()
    write = _WORDING.get(kind)
    text = write(facts, error.instance) if write else str(error.message)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def _type(facts: Mapping[str, JSON], value: JSON) -> str:
    return f"must be {' or '.join(_TYPES.get(t, t) for t in facts['types'])}, not {_kind(value)}"


def _enum(facts: Mapping[str, JSON], value: JSON) -> str:
    return f"must be one of {', '.join(_kind(option) for option in facts['options'])}, not {_kind(value)}"


def _extra(facts: Mapping[str, JSON], value: JSON) -> str:
    return "must not have " + ", ".join(f"'{name}'" for name in facts["unexpected"])


_WORDING: dict[str, Callable[[Mapping[str, JSON], JSON], str]] = {
    "type": _type,
    "enum": _enum,
    "additionalProperties": _extra,
    "required": lambda facts, value: f"must have '{facts['property']}'",
    "const": lambda facts, value: f"must be {_kind(facts['expected_value'])}, not {_kind(value)}",
    "minimum": lambda facts, value: f"must be at least {facts['limit']}, not {_kind(value)}",
    "maximum": lambda facts, value: f"must be at most {facts['limit']}, not {_kind(value)}",
    "exclusiveMinimum": lambda facts, value: f"must be above {facts['limit']}, not {_kind(value)}",
    "exclusiveMaximum": lambda facts, value: f"must be below {facts['limit']}, not {_kind(value)}",
    "minLength": lambda facts, value: f"must have at least {facts['limit']} characters",
    "maxLength": lambda facts, value: f"must have at most {facts['limit']} characters",
    "minItems": lambda facts, value: f"must have at least {facts['limit']} items",
    "maxItems": lambda facts, value: f"must have at most {facts['limit']} items",
    "pattern": lambda facts, value: f"must match {facts['pattern']}, and {_kind(value)} does not",
    "format": lambda facts, value: f"must be written as {facts['format']}, and {_kind(value)} is not",
}


def _kind(value: JSON) -> str:
    """Say what a value is, with the value where it is short."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= _SHOWN else "a long text"
