"""Build something; the first attempts fail, so that there is something to retry.

A process action gets its parameters as JSON on stdin, and tells its result as JSON on stdout.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Fail while the number of this attempt is not above `failing_attempts`."""
    parameters = json.load(sys.stdin)
    attempt = int(os.environ["DRAMATURG_ATTEMPT"])
    time.sleep(parameters["seconds"])
    if attempt <= parameters["failing_attempts"]:
        sys.exit(f"attempt {attempt}: the linker was killed")
    json.dump({"artefact": "app-1.0.tar.gz", "attempt": attempt}, sys.stdout)


if __name__ == "__main__":
    main()
