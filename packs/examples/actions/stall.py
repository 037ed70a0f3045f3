"""Sleep, then answer: an example of a process that is ended when its time is over."""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Answer after so many seconds."""
    seconds = json.load(sys.stdin)["seconds"]
    time.sleep(seconds)
    json.dump({"answer": f"an answer that took {seconds} seconds"}, sys.stdout)


if __name__ == "__main__":
    main()
