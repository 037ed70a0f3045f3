"""Run one attempt of one action, whatever its runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import orjson

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.runtime import ending
from dramaturg.engine.runtime.builtin import run_builtin
from dramaturg.engine.runtime.inprocess import run_function
from dramaturg.engine.runtime.normalise import Refused, normalise
from dramaturg.engine.runtime.request import ActionOutcome, ActionRequest
from dramaturg.engine.runtime.script import run_script
from dramaturg.engine.runtime.stop import Stop

Runner = Callable[[ActionRequest, Stop], ActionOutcome]


def run_action(request: ActionRequest, stop: Stop, runner: Runner | None = None) -> ActionOutcome:
    """Run one attempt of an action to its end, in the calling thread; return how it ended.

    Never raises an `Exception`: whatever goes wrong is an outcome. When another thread calls ``stop.cancel()`` the
    action is asked to stop at once, and made to after ``request.grace`` seconds. A result is normalised.

    Args:
        runner: does it; None: what the action's runtime says.
    """
    try:
        if stop.cancelled:
            return ending.cancelled(stop)
        return _over_the_border(request, (runner or _runner(request))(request, stop))
    except Refused as refused:
        return ending.failed(refused.failure)
    except Exception as error:
        return ending.failed(ending.exception_failure(error))


def _runner(request: ActionRequest) -> Runner:
    match request.action.runtime:
        case "builtin":
            return run_builtin
        case "python" if ":" in (request.action.entry_point or ""):
            return run_function
        case "python" | "shell" | "node":
            return run_script
        case "dramatiq":
            message = (
                f"{request.action.ref} is the actor {request.action.entry_point} of another app, and this worker "
                "has no broker to reach it: set DRAMATURG_ACTORS_BROKER_URL"
            )
            raise Refused(Failure(type="UnknownAction", message=message))
        case other:
            message = f"{request.action.ref}: this worker can't run actions of runtime {other}"
            raise Refused(Failure(type="UnknownAction", message=message))


def _over_the_border(request: ActionRequest, outcome: ActionOutcome) -> ActionOutcome:
    if outcome.status != "succeeded":
        return outcome
    try:
        result = normalise(outcome.result, request.result_limit)
    except Refused as refused:
        return ending.failed(refused.failure, outcome.logs)
    problems = _problems(request, result)
    if problems:
        message = f"the result is not what {request.action.ref} declares: " + "; ".join(problems)
        return ending.failed(
            Failure(type="InvalidOutput", message=message, details={"problems": problems}), outcome.logs
        )
    return replace(outcome, result=result)


def _problems(request: ActionRequest, result: JSON) -> list[str]:
    declared = request.action.output
    if declared is None:
        return []
    return _declaration(orjson.dumps(dict(declared))).problems(result)


@lru_cache(maxsize=1024)
def _declaration(declared: bytes) -> ParameterSet:
    return ParameterSet(orjson.loads(declared), closed=False)
