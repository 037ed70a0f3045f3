"""The part of `examples.external_job` that runs inside the worker: a job is left for a printer that others run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dramaturg


def hand_over(pages: int, out: str) -> None:
    """Leave a job in a folder, and say that the attempt ends when somebody completes it by the job's token."""
    folder = Path(os.path.abspath(Path(out).expanduser()))
    folder.mkdir(parents=True, exist_ok=True)
    job = json.dumps({"pages": pages, "token": dramaturg.token()})
    # Whoever has the token can complete the attempt. A printer that looks must not find half a job.
    draft = folder / ".job.json.new"
    with open(draft, "w", encoding="utf-8", opener=_private) as file:
        file.write(job)
    draft.replace(folder / "job.json")
    dramaturg.pending()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
