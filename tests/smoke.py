"""Imports every module of the installed package: run by .ci/run on each Python, away from the sources."""

from __future__ import annotations

import importlib
import pkgutil
import warnings

import dramaturg


def main() -> None:
    """Import all, with warnings as errors, and say how many there are."""
    warnings.simplefilter("error")
    names = [module.name for module in pkgutil.walk_packages(dramaturg.__path__, "dramaturg.")]
    # Migrations run inside Alembic only; the scripts of packs are programs, not modules.
    names = [name for name in names if ".migrations" not in name and not name.startswith("dramaturg.packs.")]
    for name in names:
        importlib.import_module(name)
    print(f"{dramaturg.__file__}: {len(names)} modules import, version {dramaturg.__version__}")


if __name__ == "__main__":
    main()
