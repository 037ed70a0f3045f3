"""One action, read from its node (LANGUAGE 2)."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from dramaturg.engine.errors import JSON
from dramaturg.engine.expressions.faults import did_you_mean
from dramaturg.engine.language.fields import REF, Draft, Fields, is_template
from dramaturg.engine.language.inspect import check_attempt
from dramaturg.engine.language.model import ActionDef
from dramaturg.engine.language.parameters import read_declaration
from dramaturg.engine.language.retries import read_retry
from dramaturg.engine.language.source import Node

RUNTIMES = ("python", "shell", "node", "dramatiq", "builtin")
#: Other names for runtimes that people know.
ALIASES = {"nodejs": "node", "node.js": "node"}
#: Runtimes whose entry point is a file.
SCRIPTS = ("python", "shell", "node")

#: What only an action has, and a workflow does not.
RUNTIME_KEYS = (
    "runtime",
    "runner_type",
    "entry_point",
    "parameter_delivery",
    "parameter_format",
    "output_format",
)
POLICY_KEYS = ("timeout", "retry", "queue")
#: What only a process has a use for.
_PROCESS_KEYS = ("parameter_delivery", "parameter_format", "output_format")

#: Dramatiq takes any text; one with spaces or braces is a mistake.
ACTOR = re.compile(r"[^\s{}]+")
FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What actions and workflows have in common."""

    ref: str
    label: str
    description: str
    parameters: dict[str, JSON] | None
    output: dict[str, JSON] | None
    tags: tuple[str, ...]
    enabled: bool


def read_metadata(fields: Fields, ref: str | None) -> Metadata:
    """Read what actions and workflows have in common.

    Args:
        ref: what the file's place says; None: it says nothing, and `ref` must be written.
    """
    return Metadata(
        ref=_ref(fields, ref),
        label=fields.text("label"),
        description=fields.text("description"),
        parameters=read_declaration(fields, "parameters"),
        output=read_declaration(fields, "output"),
        tags=fields.texts("tags"),
        enabled=fields.flag("enabled", True),
    )


def _ref(fields: Fields, expected: str | None) -> str:
    node = fields.take("ref")
    written = fields.optional_text("ref")
    report = fields.draft.report
    if written is None:
        if node is None and expected is None:
            fields.missing("`ref` is missing")
        return expected or "unknown.unknown"
    if not REF.fullmatch(written):
        hint = "a ref is <pack>.<name>, in small letters, digits and _"
        report.error("definition.ref", f"ref: '{written[:80]}' is no ref", fields.position("ref"), hint)
        return expected or "unknown.unknown"
    if expected is not None and written != expected:
        message = f"ref: '{written}' does not fit the file, which is '{expected}'"
        hint = "a ref never changes: move the file, or leave `ref` out"
        report.error("definition.ref_mismatch", message, fields.position("ref"), hint)
    return written


def read_action(node: Node, draft: Draft, ref: str | None, *, check: bool = True) -> ActionDef:
    """Read an action that does its work itself; what is wrong is reported, and defaults stand in for it.

    Args:
        ref: what the file's place says; None: it says nothing, and `ref` must be written.
        check: whether its expressions are checked, too.
    """
    fields = Fields(node, draft, "", "an action")
    metadata = read_metadata(fields, ref)
    if fields.take("workflow_file") is not None:
        refuse_runtime(fields)
        fields.finish()
        return _described(metadata)
    runtime = _runtime(fields)
    entry = _entry_point(fields, runtime)
    format_ = default_format(runtime)
    values: dict[str, Any] = {
        "parameter_delivery": fields.choice("parameter_delivery", ("stdin", "file"), "stdin"),
        "parameter_format": fields.choice("parameter_format", ("json", "dotenv", "yaml"), "json"),
        "output_format": fields.choice("output_format", ("json", "yaml", "jsonl", "text"), format_),
        "timeout": fields.duration("timeout", None),
        "retry": read_retry(fields, draft, None, ("attempt", 0)),
        "queue": _queue(fields),
    }
    _no_process(fields, runtime, entry)
    fields.finish()
    if check:
        check_attempt(draft)
    return dataclasses.replace(
        _described(metadata),
        runtime=runtime,  # type: ignore[arg-type]  # one of RUNTIMES
        entry_point=entry,
        **values,
    )


def _no_process(fields: Fields, runtime: str | None, entry: str | None) -> None:
    """Refuse what describes a process, where none is started."""
    if runtime == "dramatiq":
        message = "`{key}` does nothing: the parameters are sent to the actor as a message"
        fields.refuse(_PROCESS_KEYS, "definition.no_effect", message)
    elif runtime == "builtin" or (runtime == "python" and ":" in (entry or "")):
        # The result of a built-in is described by its format: `core.shell` gives text.
        keys = [key for key in _PROCESS_KEYS if runtime != "builtin" or key != "output_format"]
        message = "`{key}` does nothing: the action runs in the worker's own process"
        fields.refuse(keys, "definition.no_effect", message)


def default_format(runtime: str | None) -> str:
    """Return the `output_format` of an action that names none."""
    return "text" if runtime == "shell" else "json"


def refuse_runtime(fields: Fields) -> None:
    """Refuse what a workflow's action does not have."""
    fields.refuse(
        RUNTIME_KEYS, "definition.no_effect", "`{key}`: an action with a `workflow_file` has no runtime"
    )
    hint = "tasks have it; the time limit of the run stands in the graph's file"
    fields.refuse(POLICY_KEYS, "definition.no_effect", "`{key}` is not for the action of a workflow", hint)


def _described(metadata: Metadata) -> ActionDef:
    return ActionDef(**{field.name: getattr(metadata, field.name) for field in dataclasses.fields(metadata)})


def _runtime(fields: Fields) -> str | None:
    key = "runtime"
    alias = fields.take("runner_type")
    node = fields.take("runtime")
    if node is not None and alias is not None:
        message = "`runner_type` is another name for `runtime`: write one of them"
        fields.error("definition.twice", message, "runner_type")
    elif node is None and alias is not None:
        key, node = "runner_type", alias
    if node is None:
        fields.missing("`runtime` or `workflow_file` is missing", f"runtimes: {', '.join(RUNTIMES)}")
        return None
    name = ALIASES.get(node.value, node.value) if isinstance(node.value, str) else None
    if name not in RUNTIMES:
        hint = did_you_mean(node.value, RUNTIMES) if isinstance(node.value, str) else ""
        fields.draft.wrong(node, key, f"one of {', '.join(RUNTIMES)} is expected", hint)
        return None
    return name


#: What an entry point is, for each runtime.
_ENTRIES = {
    "python": "a file in actions/ or module:function",
    "dramatiq": "the name of an actor",
    "builtin": "the name of a built-in",
}


def _entry_point(fields: Fields, runtime: str | None) -> str | None:
    text = fields.optional_text("entry_point")
    node = fields.take("entry_point")
    expected = _ENTRIES.get(runtime or "", "a file in actions/")
    if node is None:
        if runtime is not None:
            fields.missing("`entry_point` is missing", expected)
    elif text is not None and not _is_entry(text, runtime):
        fields.draft.wrong(node, "entry_point", f"{expected} is expected")
    return text


def _is_entry(text: str, runtime: str | None) -> bool:
    if runtime == "dramatiq":
        return ACTOR.fullmatch(text) is not None
    return not (runtime == "python" and ":" in text) or FUNCTION.fullmatch(text) is not None


def _queue(fields: Fields) -> str:
    text = fields.optional_text("queue")
    node = fields.take("queue")
    if node is not None and is_template(text):
        fields.draft.wrong(node, "queue", "a name is expected", "a template can't be used here")
    return text or "default"
