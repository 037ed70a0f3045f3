"""Actions that are scripts, run as processes: the contract of LANGUAGE 2."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.runtime import ending
from dramaturg.engine.runtime.control import ControlFile
from dramaturg.engine.runtime.normalise import Refused
from dramaturg.engine.runtime.output import parsed_output, text_result
from dramaturg.engine.runtime.parameters import encoded
from dramaturg.engine.runtime.private import private_file, private_folder
from dramaturg.engine.runtime.process import Ended, Job, run_process
from dramaturg.engine.runtime.pulse import Pulse
from dramaturg.engine.runtime.request import ActionOutcome, ActionRequest, LogChunk
from dramaturg.engine.runtime.stop import Stop

#: Bytes of stderr's end that a failure holds; the log has more.
STDERR_TAIL = 4 * 1024
#: Bytes of each stream's end in the failure of a text action.
TEXT_TAIL = 32 * 1024
#: What the worker's own environment contributes; nothing else of it is passed on.
INHERITED = ("PATH", "HOME", "LANG", "TZ")


def run_script(request: ActionRequest, stop: Stop) -> ActionOutcome:
    """Run a process action's script.

    Raises:
        OSError: the script is not here, or can't be started.
    """
    script = _script(request)
    command = [*_interpreter(request), str(script)]
    content = encoded(request.input, request.action.parameter_format)
    with private_folder() as private:
        stdin, extra = content, {}
        if request.action.parameter_delivery == "file":
            file = private_file(private, f"parameters.{request.action.parameter_format}", content)
            stdin, extra = b"", {"DRAMATURG_PARAMETER_FILE": str(file)}
        place = request.actions_dir
        return run_command(request, stop, command, private=private, cwd=place, stdin=stdin, extra=extra)


def run_command(
    request: ActionRequest,
    stop: Stop,
    command: Sequence[str],
    *,
    private: Path,
    cwd: Path | None,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
) -> ActionOutcome:
    """Run a command in the environment of LANGUAGE 2 and read its output as the action says.

    Args:
        private: a private folder that lives as long as the attempt.
        extra: variables besides those of every action.
    """
    parsed = request.action.output_format != "text"
    pulse = Pulse(request)
    control = ControlFile(private_file(private, "control.jsonl", b"", 0o600), pulse)
    job = Job(
        command=command,
        cwd=cwd,
        environment={**environment(request), **(extra or {}), **_spoken(request, private)},
        stdin=stdin,
        timeout=request.timeout,
        grace=request.grace,
        stdout_limit=max(request.log_limit, request.result_limit) if parsed else request.log_limit,
        stderr_limit=request.log_limit,
        control=control,
    )
    return _outcome(request, stop, run_process(job, stop), control)


def _spoken(request: ActionRequest, private: Path) -> dict[str, str]:
    """Return the variables by which a process says things of itself, and hears of the attempt before."""
    variables = {"DRAMATURG_CONTROL_FILE": str(private / "control.jsonl")}
    if request.token:
        variables["DRAMATURG_TOKEN"] = request.token
    if request.last_heartbeat is not None:
        file = private_file(private, "last_heartbeat.json", orjson.dumps(request.last_heartbeat))
        variables["DRAMATURG_LAST_HEARTBEAT"] = str(file)
    return variables


def environment(request: ActionRequest) -> dict[str, str]:
    """Return the whole environment of a process action; `DRAMATURG_*` can't be overridden."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        "PATH": os.defpath,
        "HOME": os.path.expanduser("~"),
        "LANG": "C.UTF-8",
        **inherited,
        **request.environment,
        "DRAMATURG_EXECUTION_ID": str(request.execution_id),
        "DRAMATURG_RUN_ID": request.run_id,
        "DRAMATURG_ACTION": request.action.ref,
        "DRAMATURG_PACK": request.pack,
        "DRAMATURG_TASK": request.task,
        "DRAMATURG_VISIT": str(request.visit),
        "DRAMATURG_ITEM": str(request.item),
        "DRAMATURG_ATTEMPT": str(request.attempt),
    }


def shell() -> str:
    """Return the shell that runs shell actions: bash where there is one."""
    return "/bin/bash" if os.access("/bin/bash", os.X_OK) else "/bin/sh"


def _interpreter(request: ActionRequest) -> tuple[str, ...]:
    match request.action.runtime:
        case "shell":
            return (shell(),)
        case "node":
            return (_node(request),)
        case _:
            # Unbuffered: what a script printed before it was stopped is in the log. UTF-8 whatever LANG says.
            return (sys.executable, "-u", "-X", "utf8")


def _node(request: ActionRequest) -> str:
    path = environment(request)["PATH"]
    found = shutil.which("node", path=path)
    if found is None:
        message = (
            f"{request.action.ref} is run by Node.js, and this worker has no `node` on its PATH ({path}): install it "
            "there (on Debian: apt-get install nodejs), or serve the action's queue by workers that have it"
        )
        raise Refused(Failure(type="UnknownAction", message=message))
    return os.path.abspath(found)


def _script(request: ActionRequest) -> Path:
    name = request.action.entry_point or ""
    if request.actions_dir is None:
        raise FileNotFoundError(
            f"this worker has no files of pack {request.pack}: it is not on its pack path"
        )
    script = request.actions_dir / name
    if not script.is_file():
        raise FileNotFoundError(f"{request.action.ref}: there is no script {name!r} in {request.actions_dir}")
    return script.absolute()


def _outcome(request: ActionRequest, stop: Stop, ended: Ended, control: ControlFile) -> ActionOutcome:
    logs = _logs(request, ended) + control.logs()
    details = _details(request, ended)
    if ended.how == "cancelled":
        return ending.cancelled(stop, details=details, logs=logs)
    if ended.how == "timed_out":
        return ending.timed_out(request, details=details, logs=logs)
    if ended.how == "silent":
        return ending.silent(request, details=details, logs=logs)
    if ended.code != 0:
        return ending.failed(Failure(type="ExitCode", message=_what_happened(ended), details=details), logs)
    if control.pulse.pending:
        return ActionOutcome(status="pending", logs=logs)
    try:
        result = _result(request, ended)
    except Refused as refused:
        return ending.failed(refused.failure, logs)
    return ActionOutcome(status="succeeded", result=result, logs=logs)


def _result(request: ActionRequest, ended: Ended) -> JSON:
    if request.action.output_format == "text":
        return text_result(ended.stdout, ended.stderr, ended.code, request.result_limit)
    return parsed_output(request.action.output_format, ended.stdout)


def _details(request: ActionRequest, ended: Ended) -> dict[str, JSON]:
    how = {"exit_code": ended.code} if ended.code >= 0 else {"signal": _signal_name(-ended.code)}
    if request.action.output_format != "text":
        return {**how, "stderr": ended.stderr.tail(STDERR_TAIL)}
    streams = {"stdout": ended.stdout.tail(TEXT_TAIL), "stderr": ended.stderr.tail(TEXT_TAIL)}
    return {**how, **streams}


def _what_happened(ended: Ended) -> str:
    what = f"exited with {ended.code}" if ended.code >= 0 else f"was ended by {_signal_name(-ended.code)}"
    lines = ended.stderr.tail(STDERR_TAIL).strip().splitlines()
    return f"{what}: {lines[-1].strip()[:500]}" if lines else what


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _logs(request: ActionRequest, ended: Ended) -> tuple[LogChunk, ...]:
    chunks = []
    if ended.stdout.total:
        text, cut = ended.stdout.text(request.log_limit)
        chunks.append(LogChunk(stream="stdout", text=text, truncated=cut))
    if ended.stderr.total:
        text, cut = ended.stderr.text(request.log_limit)
        chunks.append(LogChunk(stream="stderr", text=text, truncated=cut))
    return tuple(chunks)
