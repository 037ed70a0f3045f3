"""Functions that read and write JSON and YAML."""

from __future__ import annotations

import json
from typing import Any

import yaml

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import MAX_QUOTED, Fault
from dramaturg.engine.expressions.registry import Registry
from dramaturg.engine.expressions.sandbox import Frame, admit, weigh, write_json

DOCUMENTS = Registry()

#: Steps for a character of YAML: libyaml and PyYAML take about 20 microseconds for a short value.
_STEPS_A_YAML_CHARACTER = 10
#: Steps for an element that is written as YAML.
_STEPS_A_YAML_ELEMENT = 20

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Levels of lists and maps: as many as a value may have anywhere (LANGUAGE 2).
_YAML_DEPTH = 100
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _DataLoader(_Loader):  # type: ignore[misc]  # its base depends on how PyYAML was built
    """A safe loader of JSON's types: a date stays a text."""


_DataLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


class _DataDumper(_Dumper):  # type: ignore[misc]  # its base depends on how PyYAML was built
    """A safe dumper that writes what is shared as often as it is met."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@DOCUMENTS.add("to_json", "tojson")
def to_json(frame: Frame, value: JSON, indent: int | None = None) -> JSON:
    """Return a value as JSON text, compact without *indent*."""
    if indent is not None:
        if not 0 <= indent <= 16:
            raise Fault("to_json() indents by 0 to 16 spaces")
        # Most lines are indented by a few levels; write_json looks at the text that comes of it.
        frame.build(weigh(value, frame.built) * indent * 4)
    return write_json(frame, value, indent or None)


@DOCUMENTS.add("from_json")
def from_json(frame: Frame, value: str) -> JSON:
    """Return what a JSON text says."""
    frame.build(len(value))
    try:
        return admit(frame, json.loads(value, parse_constant=_no_constant))
    except RecursionError:
        raise Fault("from_json(): the text is nested too deep") from None
    except ValueError as error:
        raise Fault(f"from_json(): the text is not JSON: {str(error)[:MAX_QUOTED]}") from None


def _no_constant(word: str) -> JSON:
    raise ValueError(f"{word} is not JSON")


@DOCUMENTS.add("json")
def json_(frame: Frame, value: JSON) -> JSON:
    """Return what a JSON text says; any other value as it is."""
    return from_json(frame, value) if type(value) is str else value


@DOCUMENTS.add("from_yaml")
def from_yaml(frame: Frame, value: str) -> JSON:
    """Return what a YAML text says; aliases are refused."""
    frame.build(len(value))
    frame.step(_STEPS_A_YAML_CHARACTER * len(value))
    try:
        _check_events(value)
        return admit(frame, yaml.load(value, _DataLoader))
    except RecursionError:
        raise Fault("from_yaml(): the text is nested too deep") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:MAX_QUOTED]
        raise Fault(f"from_yaml(): the text is not YAML: {reason}") from None


def _check_events(text: str) -> None:
    """Refuse aliases and deep nesting before the loader sees them: the one in C recurses without a limit and crashes."""
    depth = 0
    for event in yaml.parse(text, _DataLoader):
        if isinstance(event, yaml.AliasEvent):
            raise Fault("from_yaml(): aliases (*name) are not supported")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _YAML_DEPTH:
                raise Fault(f"from_yaml(): the text is nested over {_YAML_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


@DOCUMENTS.add("to_yaml")
def to_yaml(frame: Frame, value: JSON) -> JSON:
    """Return a value as YAML text, in block style, keys in their order."""
    weight = weigh(value, frame.built)
    frame.build(weight)
    frame.step(_STEPS_A_YAML_ELEMENT * weight)
    written: str = yaml.dump(
        value, Dumper=_DataDumper, default_flow_style=False, sort_keys=False, allow_unicode=True
    )
    frame.build(max(0, len(written) - weight))
    return written
