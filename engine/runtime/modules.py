"""Finding the function of an in-process action.

A pack's modules live in its ``actions/`` folder and are no packages of their own; two packs may have modules of one
name. So each folder is loaded as a package under a private name, in which modules import their neighbours with
``from . import helpers``. An edited file is noticed at the next call: the whole folder is loaded afresh under another
private name, while functions that still run keep the modules they have.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

_PREFIX = "_dramaturg_actions_"


def find_function(entry_point: str, actions_dir: Path | None) -> Callable[..., Any]:
    """Return what ``module:function`` names: in the pack's own actions/ first, then among what is installed.

    Raises:
        ImportError: there is no such module, or it can't be imported.
        AttributeError: the module has no such function.
        Exception: whatever importing the module raises.
    """
    module_name, _, function_name = entry_point.partition(":")
    module = _module(module_name, actions_dir)
    found: Any = module
    for name in function_name.split("."):
        if not hasattr(found, name):
            raise AttributeError(f"{entry_point}: {module_name} has no {function_name!r}")
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{entry_point} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def _module(name: str, actions_dir: Path | None) -> ModuleType:
    if actions_dir is None or _file_of(actions_dir, name) is None:
        return importlib.import_module(name)
    folder = _folder(actions_dir.resolve())
    full_name = f"{folder.package}.{name}"
    loaded = sys.modules.get(full_name)
    if loaded is not None and name in folder.loaded:
        return loaded
    try:
        module = importlib.import_module(full_name)
    except ModuleNotFoundError as error:
        if error.name and _file_of(actions_dir, error.name) is not None:
            hint = f"a module of a pack imports its neighbours as `from . import {error.name}`"
            raise ModuleNotFoundError(f"{error} ({hint})", name=error.name) from error
        raise
    folder.loaded.add(name)
    return module


@dataclass(slots=True)
class _Folder:
    """One actions/ folder as it was loaded."""

    #: The private name of the package that stands for it.
    package: str
    #: What was read of it: file -> (mtime in ns, size).
    stamps: dict[Path, tuple[int, int]] = field(default_factory=dict)
    #: Modules that were loaded to their end.
    loaded: set[str] = field(default_factory=set)

    def fresh(self) -> bool:
        return all(_stamp(file) == stamp for file, stamp in tuple(self.stamps.items()))


_lock = threading.Lock()
_folders: dict[Path, _Folder] = {}
_by_package: dict[str, _Folder] = {}
_numbers = count(1)


def _folder(path: Path) -> _Folder:
    """Return the folder as it is now; loaded under a new name if a file of it changed."""
    with _lock:
        known = _folders.get(path)
        if known is not None and known.fresh():
            return known
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())  # before the one that would use bytecode files
        folder = _Folder(f"{_PREFIX}{next(_numbers)}")
        package = ModuleType(folder.package, f"The actions of {path}.")
        package.__path__ = [str(path)]
        sys.modules[folder.package] = package
        _folders[path] = _by_package[folder.package] = folder
        return folder


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


def _file_of(folder: Path, name: str) -> Path | None:
    base = folder.joinpath(*name.split("."))
    for file in (base / "__init__.py", base.with_name(base.name + ".py")):
        if file.is_file():
            return file
    return None


class _Finder(MetaPathFinder):
    """Finds modules below the private packages, and notes which files were read for them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of a pack is; None for every other module."""
        if not fullname.startswith(_PREFIX) or not path:
            return None
        name = fullname.rpartition(".")[2]
        folder = _by_package[fullname.partition(".")[0]]
        file = _file_of(Path(path[0]), name)
        if file is None:
            plain = Path(path[0]) / name
            return _folder_spec(fullname, plain) if plain.is_dir() else None
        folder.stamps[file] = _stamp(file)
        places = [str(file.parent)] if file.name == "__init__.py" else None
        loader = _Loader(fullname, str(file))
        return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=places)


def _folder_spec(fullname: str, folder: Path) -> ModuleSpec:
    spec = ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec


class _Loader(SourceFileLoader):
    """Reads sources only: bytecode files are compared by whole seconds, an edit within one would go unnoticed."""

    def path_stats(self, path: Any) -> Any:
        """Say that nothing is known about the source, which keeps bytecode out of it."""
        raise OSError
