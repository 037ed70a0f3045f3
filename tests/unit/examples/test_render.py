"""The renderer of `examples.external_job`: what it says of itself, and where it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "packs" / "examples" / "actions" / "render.py"


def render(
    folder: Path, attempt: int = 1, last: int | None = None, **parameters: Any
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """Run the script as a worker does; return what it did and what it said meanwhile."""
    control = folder / "control"
    control.write_text("")
    variables = {"DRAMATURG_ATTEMPT": str(attempt), "DRAMATURG_CONTROL_FILE": str(control)}
    if last is not None:
        (folder / "last").write_text(json.dumps({"page": last}))
        variables["DRAMATURG_LAST_HEARTBEAT"] = str(folder / "last")
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT)],
        env=variables,
        input=json.dumps({"seconds": 0, "break_at": 0, **parameters}),
        capture_output=True,
        text=True,
        check=False,
    )
    return done, [json.loads(line) for line in control.read_text().splitlines()]


def test_each_page_is_a_heartbeat_and_progress(tmp_path: Path) -> None:
    """The details of the heartbeat are what the next attempt needs; the progress is for people."""
    done, said = render(tmp_path, pages=2)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"rendered": 2, "began_with": 1})
    assert said == [
        {"heartbeat": {"page": 1}},
        {"progress": 0.5, "message": "page 1 of 2"},
        {"heartbeat": {"page": 2}},
        {"progress": 1.0, "message": "page 2 of 2"},
    ]


def test_it_breaks_once_and_goes_on_behind_the_last_page(tmp_path: Path) -> None:
    """No page is rendered twice."""
    done, said = render(tmp_path, pages=5, break_at=4)
    assert (done.returncode, done.stdout) == (1, "")
    assert "page 4: the renderer has crashed" in done.stderr
    last = [line["heartbeat"]["page"] for line in said if "heartbeat" in line][-1]
    assert last == 3
    done, said = render(tmp_path, attempt=2, last=last, pages=5, break_at=4)
    assert json.loads(done.stdout) == {"rendered": 5, "began_with": 4}
    assert [line["heartbeat"]["page"] for line in said if "heartbeat" in line] == [4, 5]


@pytest.mark.parametrize("last", [5, 7])
def test_what_is_done_is_not_done_again(tmp_path: Path, last: int) -> None:
    """An attempt that was lost after its last page has nothing left to do."""
    done, said = render(tmp_path, attempt=2, last=last, pages=5)
    assert (json.loads(done.stdout)["rendered"], said) == (5, [])
