"""The programs in examples/ run, and print what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(script: str, folder: Path) -> str:
    """Run an example in a folder of its own; return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRAMATURG_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=kept,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_order_and_its_run_are_committed_together(tmp_path: Path) -> None:
    """One is fulfilled, one fails with an apology, one was rolled back and left nothing."""
    assert run("orders.py", tmp_path).splitlines() == [
        "{'label': 'No. 00007: 3 x tea', 'left': 17, 'apology': None}",
        "order 8: Sorry, 300 tea ordered, 20 there",
        "orders: [7, 8]",
    ]
