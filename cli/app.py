"""What every command is given: access to the engine, and whether tracebacks are wanted."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import click

from dramaturg.cli.access import Access

_F = TypeVar("_F", bound=Callable[..., None])


@dataclass(slots=True)
class App:
    """One invocation of the command line; tests make it with an `Access` of their own."""

    access: Access = field(default_factory=Access)
    debug: bool = False
    #: What was typed behind `dramaturg`.
    arguments: tuple[str, ...] = ()

    def again(self, run_id: str, secret: Iterable[str] = ()) -> str:
        """Return the command line as it was typed, with the id of the run that it has started: to go on with it.

        Args:
            secret: parameters whose values are not repeated.
        """
        named = any(a == "--id" or a.startswith("--id=") for a in self.arguments)
        hidden = [re.compile(rf"((?:-p|--param=)?{re.escape(name)}:?=).*", re.DOTALL) for name in secret]
        typed = []
        for argument in self.arguments:
            found = next(filter(None, (pattern.fullmatch(argument) for pattern in hidden)), None)
            typed.append(f"{found[1]}***" if found else argument)
        return shlex.join(["dramaturg", *typed, *([] if named else ["--id", run_id])])


def examples(*lines: str) -> Callable[[_F], _F]:
    """Add examples to the help of a command; each line stands as it is."""

    def add(function: _F) -> _F:
        block = "\n".join(f"  {line}" for line in lines)
        function.__doc__ = f"{(function.__doc__ or '').rstrip()}\n\n    \b\n    Examples:\n" + "\n".join(
            f"    {line}" for line in block.splitlines()
        )
        return function

    return add


def login_name() -> str:
    """Return the name of whoever has typed the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a number that has no name.
        return "unknown"


pass_app = click.make_pass_decorator(App)
