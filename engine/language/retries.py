"""`retry` of a task or of an action (LANGUAGE 4)."""

from __future__ import annotations

from dramaturg.engine.language.fields import Draft, Fields, NamesOf
from dramaturg.engine.language.model import RetryDef

BACKOFFS = ("constant", "linear", "exponential")


def read_retry(fields: Fields, draft: Draft, own: NamesOf | None, outcome: NamesOf) -> RetryDef | None:
    """Read a retry policy; None if there is none.

    Args:
        own: what its numbers may name; None: no templates, as in an action's.
        outcome: what `when` may name.
    """
    node = fields.mapping("retry")
    if node is None:
        return None
    inner = Fields(node, draft, fields.at("retry"), "a retry policy")
    count = inner.number("count", own, whole=True)
    if inner.take("count") is None:
        inner.missing("`count` is missing", "how often is it tried again?")
    delay = inner.duration("delay", own, zero=True)
    factor, jitter = inner.number("factor", own), inner.number("jitter", own, most=1)
    backoff = inner.choice("backoff", BACKOFFS, "constant")
    limit = inner.duration("max_delay", own, zero=True)
    when = inner.condition("when", outcome)
    final = inner.texts("non_retryable")
    if inner.take("factor") is not None and backoff != "exponential":
        message = f"{inner.place}: `factor` does nothing without `backoff: exponential`"
        inner.error("workflow.no_effect", message, "factor")
    inner.finish()
    return RetryDef(
        count=0 if count is None else count,
        delay=0 if delay is None else delay,
        backoff=backoff,  # type: ignore[arg-type]  # one of BACKOFFS
        factor=2 if factor is None else factor,
        max_delay=limit,
        jitter=0 if jitter is None else jitter,
        when=when,
        non_retryable=final,
    )
