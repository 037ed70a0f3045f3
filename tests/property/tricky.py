"""Cases that a random search seldom meets: each was found by breaking a rule of the engine that no random case missed."""

from __future__ import annotations

import yaml
from comparison import Case
from scripts import Ending, Script

#: The slow branch of the first turn reaches `k` after the second turn: what follows `k` has the higher count of `j`.
HIGHEST_COUNT = """
start: [a]
tasks:
  a: {next: [{do: [x, y]}]}
  x: {action: t.work, next: [{do: [j]}]}
  y: {action: t.work, next: [{do: [j]}]}
  j:
    join: all
    next:
      - {when: "{{ task.j.visit == 1 }}", do: [a, r]}
      - {when: "{{ task.j.visit == 2 }}", do: [k]}
  r: {action: core.sleep, input: {seconds: 5}, next: [{do: [k]}]}
  k: {join: all, next: [{do: [a]}]}
"""

#: What is spared beside a `fail` meets in a join and goes on behind it.
SPARED_JOIN = """
tasks:
  a: {action: t.work, next: [{do: [b, c, fail]}]}
  b: {action: t.work, next: [{do: [d]}]}
  c: {action: t.work, retry: {count: 1}, next: [{do: [d]}]}
  d: {join: all, next: [{do: [e]}]}
  e: {action: t.work, with_items: [1, 2], concurrency: 1}
"""

#: Two items fail at once: the first stops the others, so the second, which would be tried again, is not.
STOPPED_RETRY = """
tasks:
  a:
    action: t.work
    with_items: [1, 2, 3]
    on_item_failure: cancel_started
    retry: {count: 2, non_retryable: [Boom]}
    next: [{when: failed, do: [noop]}]
"""

#: The same among tasks side by side, one of which is a group itself.
STOPPED_GROUP = """
tasks:
  g:
    type: parallel
    on_item_failure: cancel_started
    tasks:
      x: {action: t.work}
      y: {type: parallel, tasks: {y1: {action: t.work, retry: {count: 2}}, y2: {action: core.sleep, input: {seconds: 3}}}}
      z: {action: t.work, with_items: [1, 2], concurrency: 1, retry: {count: 1}}
    next: [{when: failed, do: [noop]}]
"""

#: `succeed` drops what the same completion has beside it, and cancels what runs; a run that is failing does not heed it.
SUCCEED = """
tasks:
  a: {action: t.work, next: [{do: [b]}, {do: [succeed]}, {do: [c, fail]}]}
  b: {action: t.work}
  c: {action: t.work}
  d: {action: t.nested, next: [{do: [b]}]}
"""
FAIL_THEN_SUCCEED = SUCCEED.replace(
    "{do: [b]}, {do: [succeed]}, {do: [c, fail]}", "{do: [c, fail]}, {do: [succeed]}"
)

#: The time for all attempts is over in the middle of a backoff, of a fan-out, and of a group.
TOTAL_TIMEOUT = """
tasks:
  a: {action: t.work, total_timeout: 2.5, retry: {count: 9, delay: 1}, next: [{when: timed_out, do: [b]}]}
  b: {action: core.sleep, with_items: [1, 2, 3], total_timeout: 2.5, concurrency: 2,
      input: {seconds: "{{ item }}"}, next: [{when: timed_out, do: [c]}]}
  c: {type: parallel, total_timeout: 1.5, tasks: {c1: {action: t.work}, c2: {action: t.work, delay: 2}}}
"""

#: Two deadlines at once, one inside the other.
TWO_DEADLINES = """
tasks:
  a:
    type: parallel
    total_timeout: 1
    tasks: {a1: {action: t.work, delay: 3, total_timeout: 1}, a2: {action: t.work, retry: {count: 5, delay: 1}}}
    next: [{when: timed_out, do: [noop]}]
"""

BOOM, OTHER = Ending("failed", None, "Boom"), Ending("failed", None, "Other")


def _case(text: str, order: tuple[int, ...] = (), batch: int = 1, **endings: list[Ending]) -> Case:
    return Case({"ref": "t.tricky", **yaml.safe_load(text)}, Script(endings, order, batch))


CASES = [
    _case(HIGHEST_COUNT),
    _case(SPARED_JOIN, c=[OTHER, Ending()]),
    _case(SPARED_JOIN, order=(0, 1), c=[OTHER, Ending()], e=[BOOM]),
    _case(STOPPED_RETRY, batch=2, a=[BOOM, OTHER]),
    _case(STOPPED_RETRY, order=(2, 1), a=[OTHER, BOOM]),
    _case(STOPPED_GROUP, x=[BOOM]),
    _case(STOPPED_GROUP, batch=2, x=[BOOM], y1=[OTHER]),
    _case(STOPPED_GROUP, order=(1, 2), batch=3, x=[BOOM], y1=[OTHER], z=[OTHER, Ending()]),
    _case(SUCCEED),
    _case(FAIL_THEN_SUCCEED),
    _case(TOTAL_TIMEOUT, a=[OTHER]),
    _case(TWO_DEADLINES, a2=[OTHER]),
    _case(TWO_DEADLINES, batch=3, a2=[OTHER]),
]
