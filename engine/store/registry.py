"""Puts packs into the database: revisions by content hash, and what each ref means from now on.

A registration changes only what has changed: a ref whose definition is the same keeps its revision and gets no new
entry in the log. An action that its pack no longer has is taken away; runs that began before still see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dramaturg.engine.errors import JSON
from dramaturg.engine.language.stored import action_from_json
from dramaturg.engine.store.catalog import kind_of
from dramaturg.engine.store.codec import canonical, digest_of, dumps
from dramaturg.engine.store.database import Database, Transaction
from dramaturg.engine.store.statements import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A pack as the registry takes it."""

    ref: str
    label: str
    version: str
    config: JSON
    tags: Sequence[str]
    #: Ref -> stored definition (JSON with its `kind`).
    definitions: Mapping[str, Mapping[str, JSON]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a registration did."""

    packs: tuple[str, ...]
    #: Refs with a new revision, and refs that were taken away.
    new: tuple[str, ...]
    removed: tuple[str, ...]


PACK_NOW = Statement("pack_now", "SELECT label, version, config, tags FROM pack WHERE ref = :ref")
ACTIONS_NOW = Statement("actions_now", "SELECT ref, current_revision FROM action WHERE pack = :pack")
PUT_PACK = Statement(
    "put_pack",
    """INSERT INTO pack (ref, label, version, config, tags, registered_at)
    VALUES (:ref, :label, :version, :config, :tags, :now)
    ON CONFLICT (ref) DO UPDATE SET label = excluded.label, version = excluded.version, config = excluded.config,
        tags = excluded.tags, registered_at = excluded.registered_at""",
)
PUT_REVISIONS = Statement(
    "put_revisions",
    """INSERT INTO workflow_revision (digest, ref, definition, created_at) SELECT digest, ref, definition, :now
    FROM <<rows revisions | digest text, ref text, definition text>> AS x WHERE true ON CONFLICT (digest) DO NOTHING""",
)
PUT_ACTIONS = Statement(
    "put_actions",
    """INSERT INTO action (ref, pack, kind, label, description, enabled, current_revision, registered_at)
    SELECT ref, pack, kind, label, description, enabled, digest, :now
    FROM <<rows actions | ref text, pack text, kind text, label text, description text, enabled bool, digest text>> AS x
    WHERE true
    ON CONFLICT (ref) DO UPDATE SET kind = excluded.kind, label = excluded.label, description = excluded.description,
        enabled = excluded.enabled, current_revision = excluded.current_revision, registered_at = excluded.registered_at""",
)
LOG = Statement(
    "log_registrations",
    """INSERT INTO registration (ref, digest, registered_at) SELECT ref, digest, :now
    FROM <<rows actions | ref text, digest text>> AS x WHERE true ORDER BY ref""",
)
DROP = Statement(
    "drop_actions", "DELETE FROM action WHERE ref IN (SELECT ref FROM <<rows actions | ref text>> AS x)"
)
#: Registrations come one after the other: two at once would log the same change twice.
ALONE = Statement("alone", "SELECT 1", postgresql="SELECT pg_advisory_xact_lock(726173)")


def register(database: Database, bundles: Sequence[Bundle]) -> Registered:
    """Store the packs, all of them in one transaction; without a change nothing is written."""
    changes = _changed(database, bundles)
    new: list[str] = []
    removed: list[str] = []
    if changes:
        with database.write() as tx:
            tx.run(ALONE)
            for bundle in changes:
                added, dropped = _put(tx, bundle)
                new.extend(added)
                removed.extend(dropped)
    return Registered(packs=tuple(b.ref for b in bundles), new=tuple(new), removed=tuple(removed))


def _changed(database: Database, bundles: Sequence[Bundle]) -> list[Bundle]:
    with database.read() as tx:
        return [bundle for bundle in bundles if _differs(tx, bundle)]


def _differs(tx: Transaction, bundle: Bundle) -> bool:
    rows = tx.run(PACK_NOW, {"ref": bundle.ref})
    if not rows or tuple(rows[0]) != _pack_columns(bundle):
        return True
    now = {row[0]: row[1] for row in tx.run(ACTIONS_NOW, {"pack": bundle.ref})}
    return now != {ref: digest_of(definition) for ref, definition in bundle.definitions.items()}


def _pack_columns(bundle: Bundle) -> tuple[str, str, str, str]:
    return (bundle.label, bundle.version, canonical(bundle.config), dumps(list(bundle.tags)))


def _put(tx: Transaction, bundle: Bundle) -> tuple[list[str], list[str]]:
    """Store one pack; return the refs that changed and those that went."""
    now = tx.now()
    label, version, config, tags = _pack_columns(bundle)
    tx.run(
        PUT_PACK,
        {"ref": bundle.ref, "label": label, "version": version, "config": config, "tags": tags, "now": now},
    )
    before = {row[0]: row[1] for row in tx.run(ACTIONS_NOW, {"pack": bundle.ref})}
    digests = {ref: digest_of(definition) for ref, definition in bundle.definitions.items()}
    added = sorted(ref for ref, digest in digests.items() if before.get(ref) != digest)
    dropped = sorted(set(before) - set(digests))
    if added:
        definitions = bundle.definitions
        revisions = [
            {"digest": digests[ref], "ref": ref, "definition": canonical(definitions[ref])} for ref in added
        ]
        tx.run(PUT_REVISIONS, {"revisions": dumps(revisions), "now": now})
        actions = [_action(bundle.ref, ref, definitions[ref], digests[ref]) for ref in added]
        tx.run(PUT_ACTIONS, {"actions": dumps(actions), "now": now})
    if dropped:
        tx.run(DROP, {"actions": dumps([{"ref": ref} for ref in dropped])})
    logged = [{"ref": ref, "digest": digests.get(ref, "")} for ref in (*added, *dropped)]
    if logged:
        tx.run(LOG, {"actions": dumps(logged), "now": now})
    return added, dropped


def _action(pack: str, ref: str, definition: Mapping[str, JSON], digest: str) -> dict[str, JSON]:
    return {
        "ref": ref,
        "pack": pack,
        "kind": _kind(definition),
        "label": definition.get("label") or "",
        "description": definition.get("description") or "",
        "enabled": definition.get("enabled", True),
        "digest": digest,
    }


def _kind(definition: Mapping[str, JSON]) -> str:
    return "workflow" if definition["kind"] == "workflow" else kind_of(action_from_json(definition))
