"""The actions of pack `core` that are done on workers (LANGUAGE 9).

An action's `entry_point` names a function in `BUILTINS`. Those that the engine does by itself, such as `core.sleep`, are
not among them: see `interpreter.waits`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.runtime import ending
from dramaturg.engine.runtime.http import run_http
from dramaturg.engine.runtime.private import private_file, private_folder
from dramaturg.engine.runtime.request import ActionOutcome, ActionRequest, LogChunk
from dramaturg.engine.runtime.script import run_command, shell
from dramaturg.engine.runtime.stop import Stop


def run_builtin(request: ActionRequest, stop: Stop) -> ActionOutcome:
    """Run the built-in action that `entry_point` names."""
    function = BUILTINS.get(request.action.entry_point or "")
    if function is None:
        known = ", ".join(sorted(BUILTINS))
        message = (
            f"{request.action.ref}: no built-in action {request.action.entry_point!r} (there are {known})"
        )
        return ending.failed(Failure(type="UnknownAction", message=message))
    return function(request, stop)


def _echo(request: ActionRequest, stop: Stop) -> ActionOutcome:
    return _succeeded({"message": request.input.get("message")})


def _noop(request: ActionRequest, stop: Stop) -> ActionOutcome:
    return _succeeded({})


def _fail(request: ActionRequest, stop: Stop) -> ActionOutcome:
    message = request.input.get("message") or "failed as asked"
    kind = request.input.get("type") or "Failed"
    return ending.failed(Failure(type=str(kind), message=str(message), details=request.input.get("details")))


def _log(request: ActionRequest, stop: Stop) -> ActionOutcome:
    level = str(request.input.get("level") or "info").upper()
    line = f"{level} {request.input.get('message', '')}\n"
    return _succeeded({}, LogChunk(stream="log", text=line))


def _shell(request: ActionRequest, stop: Stop) -> ActionOutcome:
    """Run a command line; it is a file for the shell, as arguments are seen by everybody on the machine."""
    wrong = _wrong_surroundings(request)
    if wrong:
        return ending.failed(Failure(type="InvalidInput", message=f"{request.action.ref}: {wrong}"))
    cwd, extra = request.input.get("cwd"), request.input.get("env") or {}
    with private_folder() as private:
        file = private_file(private, "command.sh", str(request.input.get("command", "")).encode() + b"\n")
        folder = Path(cwd) if cwd else None
        return run_command(request, stop, [shell(), str(file)], private=private, cwd=folder, extra=extra)


def _wrong_surroundings(request: ActionRequest) -> str:
    """Say what is wrong with `command`, `cwd` or `env`; empty if nothing is."""
    cwd, extra = request.input.get("cwd"), request.input.get("env") or {}
    if not isinstance(request.input.get("command"), str):
        return "command must be text"
    if cwd is not None and not (isinstance(cwd, str) and os.path.isdir(cwd)):
        return f"cwd: there is no folder {cwd!r}"
    if not isinstance(extra, dict):
        return "env must be a map"
    wrong = [name for name, value in extra.items() if not name or "=" in name or not isinstance(value, str)]
    return f"env: {', '.join(wrong)}: a name without '=' and a text are needed" if wrong else ""


def _succeeded(result: JSON, *logs: LogChunk) -> ActionOutcome:
    return ActionOutcome(status="succeeded", result=result, logs=logs)


BUILTINS: dict[str, Callable[[ActionRequest, Stop], ActionOutcome]] = {
    "echo": _echo,
    "noop": _noop,
    "fail": _fail,
    "log": _log,
    "shell": _shell,
    "http_request": run_http,
}
