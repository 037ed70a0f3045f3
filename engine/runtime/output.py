"""From what a process printed to a result (LANGUAGE 2, `output_format`)."""

from __future__ import annotations

import json
from collections.abc import Callable

import orjson
import yaml

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.runtime.capture import Captured
from dramaturg.engine.runtime.normalise import DEPTH, Refused, too_large

#: Characters shown of output that can't be read, around the place.
SNIPPET = 60
#: Keys that a YAML map may get by merging (`<<`).
_MERGED = 100_000
#: Room in a text result for what is not its two streams.
_FRAME = 256


def parsed_output(output_format: str, stdout: Captured) -> JSON:
    """Read a process's stdout as json, yaml or jsonl; nothing but white space is null (jsonl: an empty list).

    The value is as the parser gave it: the border (`normalise`) has yet to be passed.

    Raises:
        Refused: InvalidOutput if it does not parse, PayloadTooLarge if it was too long to be kept whole.
    """
    if not stdout.complete:
        raise too_large("stdout", stdout.total, stdout.limit)
    return _PARSERS[output_format](_text(stdout.data(), output_format))


def text_result(stdout: Captured, stderr: Captured, exit_code: int, limit: int) -> dict[str, JSON]:
    """Return the result of a text action: both streams and the exit code.

    A stream that does not fit is cut, with a notice in it, so that the whole stays under `limit` bytes of JSON: a
    program that talks a lot has not failed.
    """
    share = max(0, (limit - _FRAME) // 2)
    return {"stdout": _fitting(stdout, share), "stderr": _fitting(stderr, share), "exit_code": exit_code}


def _fitting(stream: Captured, share: int) -> str:
    if stream.complete and stream.total <= share:
        text = stream.data().decode("utf-8", "replace")  # NUL stays in it: the border says where
        if len(orjson.dumps(text)) <= share:
            return text
    room = share // 2
    while True:
        text, _ = stream.text(room)
        if room == 0 or len(orjson.dumps(text)) <= share:
            return text
        room //= 2


def _text(data: bytes, output_format: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{data[error.start]:02x} is not UTF-8"
        context = data[max(0, error.start - SNIPPET) : error.start + SNIPPET].decode("utf-8", "replace")
        raise _unreadable(output_format, what, line, 0, error.start, context) from None


def _json(text: str, shown: str = "json", line: int = 0) -> JSON:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = (line or error.lineno, error.colno, error.pos)
        raise _unreadable(shown, error.msg, *at, _around(text, error.pos)) from None
    except RecursionError:
        raise _unreadable(shown, "nested too deeply", line or 1, 1, 0, _around(text, 0)) from None
    except ValueError as error:  # an integer of thousands of digits
        raise _unreadable(shown, str(error), line or 1, 1, 0, _around(text, 0)) from None


def _jsonl(text: str) -> JSON:
    lines = enumerate(text.split("\n"), start=1)
    return [_json(line, "jsonl", number) for number, line in lines if line.strip()]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # C where it was built
    """YAML as JSON has it: what looks like a date stays the text that was written."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the library's own way of saying it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge with a limit: nine lines of merged merges would fill the memory."""
        super().flatten_mapping(node)
        if len(node.value) > _MERGED:
            raise yaml.MarkedYAMLError(
                problem=f"more than {_MERGED} merged keys", problem_mark=node.start_mark
            )


def _yaml(text: str) -> JSON:
    try:
        _check_depth(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column, at = (mark.line + 1, mark.column + 1, mark.index) if mark else (1, 1, 0)
        raise _unreadable(
            "yaml", str(error.problem or error.context), line, column, at, _around(text, at)
        ) from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise _unreadable("yaml", " ".join(str(error).split()), 1, 1, 0, _around(text, 0)) from None
    except (ValueError, TypeError, KeyError) as error:  # 0x with no digits, a map as a key, !!bool of a word
        raise _unreadable("yaml", str(error), 1, 1, 0, _around(text, 0)) from None


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the loader sees it: the one in C recurses without a limit and crashes."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH:
                problem = f"nested over {DEPTH} levels"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


_PARSERS: dict[str, Callable[[str], JSON]] = {"json": _json, "yaml": _yaml, "jsonl": _jsonl}


def _around(text: str, position: int) -> str:
    return text[max(0, position - SNIPPET) : position + SNIPPET]


def _unreadable(
    output_format: str, what: str, line: int, column: int, position: int, context: str
) -> Refused:
    place = f"line {line}" + (f", column {column}" if column else "")
    shown = json.dumps(context, ensure_ascii=False)
    details = {"format": output_format, "line": line, "column": column, "position": position, "near": context}
    message = f"stdout does not parse as {output_format}: {what} at {place}, near {shown}"
    return Refused(Failure(type="InvalidOutput", message=message, details=details))
