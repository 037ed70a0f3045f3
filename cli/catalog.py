"""What can be run: packs from files and from the database, for the commands `pack` and `workflow`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dramaturg.cli import words
from dramaturg.cli.access import Access
from dramaturg.cli.output import table, visible
from dramaturg.engine.errors import JSON, DefinitionError, NotFound, UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from dramaturg.engine.language.model import ActionDef, WorkflowDef
    from dramaturg.engine.packs.manifest import Pack

Record = Mapping[str, JSON]


def load(access: Access, paths: Sequence[Path] = ()) -> tuple[Pack, ...]:
    """Return packs from files: those at `paths`, or those of the pack path, and always `core` and `examples`.

    Raises:
        DefinitionError: with every problem of all of them.
    """
    from dramaturg.engine.packs.loader import load_packs

    return load_packs(paths or access.settings.packs)


def from_file(access: Access, path: Path) -> tuple[Pack, str]:
    """Return what a workflow's file brings, and the ref of the workflow.

    Raises:
        UsageError: there is no such file.
        DefinitionError: with every problem of it, and of the packs that it is checked against.
    """
    if not path.is_file():
        hint = "a workflow is named by its ref, or by a file's path"
        raise UsageError(f"{path}: there is no such file", hint=hint)
    from dramaturg.engine.packs.loader import load_workflow_file

    pack = load_workflow_file(path, load(access))
    return pack, next(iter(pack.workflows))


def refs(access: Access) -> frozenset[str]:
    """Return what can be found on the pack path; nothing if it does not load."""
    try:
        return frozenset(ref for pack in load(access) for ref in (*pack.actions, *pack.workflows))
    except DefinitionError:
        return frozenset()


def packs(access: Access) -> list[dict[str, JSON]]:
    """Return a record for each pack that is in the database or on the pack path."""
    found = {pack.ref: _record(pack) for pack in load(access)}
    stored = {row["ref"]: row for row in _stored(access)}
    return [
        {**stored.get(ref, {"registered_at": None}), **found.get(ref, {"path": None})}
        for ref in sorted({*found, *stored})
    ]


def pack(access: Access, ref: str) -> dict[str, JSON]:
    """Return a pack with its actions and workflows.

    Raises:
        NotFound: there is none of this name, neither on the pack path nor in the database.
    """
    found = {each.ref: each for each in load(access)}
    if ref in found:
        return {**_record(found[ref]), "contents": _contents(found[ref])}
    stored = [row["ref"] for row in _stored(access)]
    if ref in stored:
        with access.service() as service:
            return service.pack(ref)
    near = difflib.get_close_matches(ref, [*found, *stored], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`dramaturg pack list` names them"
    raise NotFound(f"there is no pack {ref!r}, neither on the pack path nor in {access.database}", hint=hint)


def _stored(access: Access) -> list[dict[str, JSON]]:
    if access.missing_file is not None:
        return []
    with access.service() as service:
        return service.packs()


def _record(pack: Pack) -> dict[str, JSON]:
    return {
        "ref": pack.ref,
        "label": pack.label,
        "version": pack.version,
        "tags": list(pack.tags),
        "path": str(pack.path),
        "actions": len(pack.actions),
        "workflows": len(pack.workflows),
    }


def _contents(pack: Pack) -> list[dict[str, JSON]]:
    definitions: dict[str, ActionDef | WorkflowDef] = {**pack.actions, **pack.workflows}
    return [
        {
            "ref": ref,
            "kind": "workflow" if ref in pack.workflows else "action",
            "label": definitions[ref].label,
            "description": definitions[ref].description,
            "parameters": dict(definitions[ref].parameters or {}),
        }
        for ref in sorted(definitions)
    ]


def pack_table(rows: Sequence[Record]) -> list[Text]:
    """Return the table of packs."""
    cells = [
        [
            str(row["ref"]),
            str(row["version"] or ""),
            str(row["actions"]),
            str(row["workflows"]),
            words.clock(row["registered_at"]) or "no",
            str(row.get("path") or ""),
        ]
        for row in rows
    ]
    return table(["PACK", "VERSION", "ACTIONS", "WORKFLOWS", "REGISTERED", "PATH"], cells)


def pack_lines(pack: Record) -> Iterator[Text]:
    """Give what there is to say about a pack: its actions, and the parameters of each."""
    from rich.text import Text

    yield Text(str(pack["ref"]), style="bold").append(
        f"  {pack['label']}  {pack['version']}", style="not bold"
    )
    if pack.get("path"):
        yield Text(str(pack["path"]), style="dim")
    for action in pack["contents"]:
        yield Text()
        kind = "workflow" if action["kind"] == "workflow" else "action"
        yield Text(str(action["ref"]), style="bold").append(f"  {kind}", style="not bold dim")
        about = str(action.get("description") or action.get("label") or "").strip()
        if about:
            yield Text(f"  {visible(about.splitlines()[0])}")
        for name, declared in (action.get("parameters") or {}).items():
            yield Text(f"  -p {name}={_parameter(declared)}")


def _parameter(declared: JSON) -> str:
    if not isinstance(declared, Mapping):
        return "..."
    kind = declared.get("type", "any")
    told = "|".join(kind) if isinstance(kind, list) else str(kind)
    if declared.get("required"):
        told += ", required"
    if "default" in declared:
        told += f", default {declared['default']!r}"
    return f"<{told}>"
