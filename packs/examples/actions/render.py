"""Render pages, one after the other: an example of heartbeats and progress.

A process says how it is by lines of JSON in its control file. The details of its last heartbeat reach the next attempt.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Render what was not rendered by an attempt before."""
    parameters = json.load(sys.stdin)
    pages = parameters["pages"]
    began_with = _done_before() + 1
    for page in range(began_with, pages + 1):
        if page == parameters["break_at"] and os.environ["DRAMATURG_ATTEMPT"] == "1":
            sys.exit(f"page {page}: the renderer has crashed")
        time.sleep(parameters["seconds"])
        _say(heartbeat={"page": page})
        _say(progress=page / pages, message=f"page {page} of {pages}")
    json.dump({"rendered": pages, "began_with": began_with}, sys.stdout)


def _done_before() -> int:
    """Return the last page that an attempt before has reported, 0 if there is none."""
    file = os.environ.get("DRAMATURG_LAST_HEARTBEAT")
    return int(json.loads(Path(file).read_text(encoding="utf-8"))["page"]) if file else 0


def _say(**said: object) -> None:
    with Path(os.environ["DRAMATURG_CONTROL_FILE"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
