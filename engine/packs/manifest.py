"""A pack: its manifest, and everything that it brings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dramaturg.engine.errors import JSON, Problem
from dramaturg.engine.language.fields import Draft, Fields
from dramaturg.engine.language.model import ActionDef, WorkflowDef
from dramaturg.engine.language.parameters import read_declaration
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.language.source import Node

#: What a pack, and the name of an action or workflow, may be called (LANGUAGE 1).
PART = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `pack.yaml` says."""

    ref: str
    label: str = ""
    description: str = ""
    version: str = "1"
    #: Values that expressions see as `config`, defaults applied.
    config: Mapping[str, JSON] = field(default_factory=dict)
    #: Names that `config` may have.
    config_names: frozenset[str] = frozenset()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack that was loaded and checked as a whole."""

    ref: str
    label: str
    version: str
    #: The folder with `pack.yaml`; of a loose workflow file, the folder that it stands in.
    path: Path
    config: Mapping[str, JSON]
    tags: tuple[str, ...]
    #: By ref; workflows are not among them.
    actions: dict[str, ActionDef]
    workflows: dict[str, WorkflowDef]
    #: By ref, actions and workflows: the JSON that a revision stores.
    definitions: dict[str, dict[str, JSON]]
    description: str = ""
    #: What is allowed and may not be meant.
    warnings: tuple[Problem, ...] = ()


def read_manifest(node: Node, draft: Draft, folder: str) -> Manifest:
    """Read `pack.yaml`; what is wrong is reported, and defaults stand in for it.

    Args:
        folder: the name of the pack's folder: its ref, where none is written.
    """
    fields = Fields(node, draft, "", "a pack")
    ref = _ref(fields, folder)
    config = fields.mapping("config")
    declared = read_declaration(fields, "conf_schema")
    _no_secrets(fields, draft)
    values: dict[str, JSON] = config.plain() if config is not None else {}
    if declared is not None:
        schema = ParameterSet(declared)
        values = schema.with_defaults(values)
        for sentence in schema.problems(values):
            draft.report.error("pack.config", f"config: {sentence}", fields.position("config"))
    manifest = Manifest(
        ref=ref,
        label=fields.text("label"),
        description=fields.text("description"),
        version=fields.version(),
        config=values,
        config_names=frozenset(values) | frozenset(declared or ()),
        tags=fields.texts("tags"),
    )
    fields.finish()
    return manifest


def _no_secrets(fields: Fields, draft: Draft) -> None:
    """Refuse `secret` in `conf_schema`: what is configured stands in the file for all to see."""
    node = fields.take("conf_schema")
    for name, schema in node.entries if node is not None else ():
        secret = schema.get("secret")
        if secret is not None and secret.value is True:
            message = f"conf_schema.{name.value}: a pack's configuration can't be secret"
            hint = "store the secret, and write keystore.<name> in the inputs that need it"
            draft.report.error("pack.secret_config", message, schema.key("secret").at, hint)


def _ref(fields: Fields, folder: str) -> str:
    written = fields.optional_text("ref")
    ref = folder if written is None else written
    if PART.fullmatch(ref):
        return ref
    at = fields.position("ref")
    hint = "write a `ref`, or rename the folder" if written is None else ""
    message = f"'{ref[:80]}' can't be the ref of a pack: small letters, digits and _, a letter first"
    fields.draft.report.error("pack.ref", message, at, hint)
    return "unknown"
