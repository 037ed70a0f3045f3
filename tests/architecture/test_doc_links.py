"""The documentation holds together: its links lead somewhere, and it says no more than is there."""

from __future__ import annotations

import re

from sources import ROOT, texts

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
SETTING = re.compile(r"`DRAMATURG_([A-Z_]+)`")

#: Variables that are no settings: given to actions, or to tests.
OTHER = {
    "EXECUTION_ID", "RUN_ID", "ACTION", "PACK", "TASK", "VISIT", "ITEM", "ATTEMPT",
    "PARAMETER_FILE", "CONTROL_FILE", "TOKEN", "LAST_HEARTBEAT", "TEST_REDIS_URL", "TEST_POSTGRES_URL", "DEBUG",
}  # fmt: skip


def pages() -> dict[str, str]:
    """Return the Markdown pages of the project."""
    return {path: text for path, text in texts().items() if path.endswith(".md")}


def test_links_lead_to_files() -> None:
    """Each relative link names a file that exists."""
    broken = [
        f"{path}: {found[1]}"
        for path, text in pages().items()
        for found in LINK.finditer(text)
        if not (ROOT / path).parent.joinpath(found[1]).exists()
    ]
    assert broken == []


def test_settings_that_are_documented_exist_and_the_other_way_round() -> None:
    """Every DRAMATURG_* of the pages is a setting, and operations.md has every setting."""
    from dramaturg.engine.config import Settings

    known = {name.upper() for name in Settings.model_fields}
    said = {found[1] for text in pages().values() for found in SETTING.finditer(text)}
    assert said - OTHER - known == set()
    table = {found[1] for found in SETTING.finditer(pages()["docs/operations.md"])}
    assert known - table == set()
