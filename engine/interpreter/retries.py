"""Whether an attempt that has ended is followed by another one, and when (LANGUAGE 4, `retry` and `on_lost`).

Pure arithmetic on a policy: plain numbers that were fixed when the visit began. `count` is the number of retries after
the first attempt. Attempts whose worker died are made again outside of it, three times at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.expressions.compile import Template, compile_condition
from dramaturg.engine.expressions.scope import Names
from dramaturg.engine.interpreter.numbers import LONGEST

#: How often an attempt whose worker died is made again, for each execution (LANGUAGE 4, `on_lost`).
RERUNS = 3

#: Error types that another attempt would not change (LANGUAGE 4).
FINAL_TYPES = frozenset({"UnknownAction", "InvalidInput", "LeaseLost", "Terminated"})

#: Timeouts that end the task, not only the attempt.
_FINAL_TIMEOUTS = frozenset({"schedule_to_start", "schedule_to_close"})


def reruns_lost(policy: Mapping[str, JSON], lost: int) -> bool:
    """Say whether an attempt whose worker died is made again; `lost` counts it."""
    return policy.get("on_lost", "rerun") == "rerun" and lost <= RERUNS


def lease_lost(lost: int) -> Failure:
    """Return the failure of an attempt whose worker died and that is not made again."""
    times = "once" if lost == 1 else f"{lost} times"
    return Failure(
        type="LeaseLost",
        message=f"the worker that had this task stopped answering, {times}; what it did is unknown",
        details={"lost": lost},
    )


def condition_of(policy: Mapping[str, JSON] | None) -> Template | None:
    """Return the condition of an action's policy, which is stored as it is written."""
    when = None if policy is None else policy.get("when")
    return None if when is None else _compiled(when)


@lru_cache(maxsize=1024)
def _compiled(when: str | bool) -> Template | None:
    return compile_condition(when, "retry.when", Names(outcome=True))


def retries(
    policy: Mapping[str, JSON],
    *,
    status: str,
    error: Failure | None,
    done: int,
    when: Callable[[], bool] | None,
) -> bool:
    """Say whether an attempt that ended with `status` is followed by another.

    Args:
        policy: {count, delay, backoff, factor, max_delay, jitter, non_retryable}.
        done: retries made so far, lost attempts not counted.
        when: the policy's condition, asked last and only if it can matter; it alone decides, after a success too.
    """
    if done >= policy["count"] or status in ("cancelled", "skipped"):
        return False
    if error is not None and is_final(error, policy.get("non_retryable") or ()):
        return False
    if when is not None:
        return when()
    return status in ("failed", "timed_out")


def is_final(error: Failure, non_retryable: object) -> bool:
    """Say whether an error's type, or its full name, excludes another attempt."""
    details = error.details if isinstance(error.details, dict) else {}
    if error.type in FINAL_TYPES or (error.type == "Timeout" and details.get("kind") in _FINAL_TIMEOUTS):
        return True
    return isinstance(non_retryable, list | tuple) and bool(
        {error.type, details.get("exception")} & set(non_retryable)
    )


def delay_before(policy: Mapping[str, JSON], retry: int, share: float) -> float:
    """Return the seconds before retry number `retry` (from 1).

    The backoff is constant (d, d, d), linear (d, 2d, 3d) or exponential (d, d*factor, d*factor^2), at most `max_delay`.
    `jitter` j takes away up to that share of it: with `share` in [0, 1) the delay is ``d * (1 - j * share)``, so it
    never exceeds what is written.
    """
    delay = _grown(policy, retry)
    longest = policy.get("max_delay")
    delay = min(delay, LONGEST if longest is None else longest)
    return float(delay * (1 - (policy.get("jitter") or 0) * share))


def _grown(policy: Mapping[str, JSON], retry: int) -> float:
    delay = float(policy.get("delay") or 0)
    backoff = policy.get("backoff", "constant")
    if delay == 0:
        return 0.0
    if backoff == "linear":
        return delay * retry
    if backoff == "exponential":
        factor = policy.get("factor")
        try:
            return delay * float(2 if factor is None else factor) ** (retry - 1)
        except OverflowError:
            return LONGEST
    return delay
