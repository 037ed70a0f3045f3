"""Definitions that are accepted: what they become, and that storing and reading changes nothing."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from dramaturg.engine.errors import DefinitionError
from dramaturg.engine.language.model import (
    ActionDef,
    ItemsDef,
    RetryDef,
    TaskDef,
    TransitionDef,
    WorkflowDef,
)
from dramaturg.engine.language.parser import (
    action_from_json,
    action_to_json,
    digest_of,
    parse_action,
    parse_workflow,
    workflow_from_json,
    workflow_to_json,
)
from dramaturg.engine.language.program import compile_workflow
from dramaturg.engine.language.source import MAX_DEPTH

EVERYTHING = """\
ref: orders.fulfil
label: Fulfil an order
description: Everything that a workflow can have.
version: 1.10
enabled: false
tags: [orders, demo]
parameters:
  order: {type: integer, required: true}
  dry: {type: boolean, default: false}
  token: {type: string, secret: true}
output:
  status: {type: string}
vars:
  - done: false
  - twice: "{{ parameters.order * 2 }}"
timeout: 1h
cancellation_policy: cancel_running
unhandled_failure: wait
limits: {visits: 50}
start: [check]
tasks:
  - name: check
    action: orders.check
    input:
      order: "{{ parameters.order }}"
      nested: {list: [1, "{{ twice }}", null]}
      secret: "Bearer {{ keystore.shop }}"
    when: "{{ not parameters.dry }}"
    delay: 1.5
    timeout: "{{ parameters.order }}"
    schedule_timeout: 10m
    total_timeout: 1d
    heartbeat_timeout: "{{ parameters.order / 2 }}"
    retry: {count: 3, delay: 5m, backoff: exponential, factor: 1.5, max_delay: 2h, jitter: 0.1, when: failed, non_retryable: [ValueError]}
    on_lost: fail
    queue: slow
    priority: -5
    next:
      - when: "{{ succeeded() and result().ok }}"
        publish: [{done: true, who: "{{ result().by }}"}, answer]
        do: each, pick
      - when: failed() or timed_out()
        do: [fail]
      - publish: {seen: 1}
  - name: each
    action: core.echo
    with_items: "{{ answer }}"
    batch_size: "{{ parameters.order }}"
    concurrency: 3
    on_item_failure: run_all
    input: {message: "{{ item }} {{ index }}"}
    next:
      - do: gather
  - name: pick
    action: core.echo
    with_items: x, y in zip(answer, [1, 2])
    input: {message: "{{ x }}{{ y }}"}
    next:
      - do: gather
  - name: gather
    join: all
    __chart_meta__: {x: 1, y: [2, {z: null}]}
    next:
      - do: side
  - name: side
    type: parallel
    when: "{{ done }}"
    timeout: 10
    total_timeout: 1m
    on_item_failure: cancel_started
    tasks:
      ship: {type: workflow, action: orders.ship, parent_close: abandon, input: {order: "{{ task.mail.result }}"}}
      mail:
        action: core.echo
        with_items: to in answer
        batch_size: 2
        on_item_failure: run_all
        delay: 2
        input: {message: "{{ to }} {{ keystore.mail }}"}
        __chart_meta__: {y: 2}
      more:
        type: parallel
        tasks:
          - {name: last}
          - {name: deep, action: core.noop, heartbeat_timeout: 5s, retry: {count: 1, when: "{{ task.ship.status == 'x' }}"}}
    next:
      - publish: {shipped: "{{ task.ship.result }}", all: "{{ result().more.deep }}"}
        when: "{{ visit }}"
        do: check
      - do: succeed
output_map:
  status: "{{ 'done' if done else 'open' }}"
  text: "{{ output.status }}!"
"""


def everything() -> WorkflowDef:
    """Return a workflow that uses the whole language."""
    return parse_workflow(EVERYTHING.replace('"{{ visit }}"', '"{{ task.side.visit < 3 }}"'))


def test_a_workflow_becomes_what_is_written() -> None:
    """Durations are seconds, commas are lists, bare publishes store the result."""
    workflow = everything()
    assert workflow.ref == "orders.fulfil"
    assert workflow.version == "1.10"
    assert workflow.enabled is False
    assert workflow.timeout == 3600
    assert workflow.unhandled_failure == "wait"
    assert workflow.parameters is not None
    assert workflow.parameters["token"] == {"type": "string", "secret": True}
    assert workflow.max_visits == 50
    assert workflow.vars == (("done", False), ("twice", "{{ parameters.order * 2 }}"))
    assert workflow.output_map == (
        ("status", "{{ 'done' if done else 'open' }}"),
        ("text", "{{ output.status }}!"),
    )
    assert list(workflow.tasks) == ["check", "each", "pick", "gather", "side"]
    assert workflow.tasks["check"] == TaskDef(
        name="check",
        action="orders.check",
        input={
            "order": "{{ parameters.order }}",
            "nested": {"list": [1, "{{ twice }}", None]},
            "secret": "Bearer {{ keystore.shop }}",
        },
        when="{{ not parameters.dry }}",
        delay=1.5,
        timeout="{{ parameters.order }}",
        schedule_timeout=600,
        total_timeout=86400,
        heartbeat_timeout="{{ parameters.order / 2 }}",
        retry=RetryDef(
            count=3,
            delay=300,
            backoff="exponential",
            factor=1.5,
            max_delay=7200,
            jitter=0.1,
            when="failed",
            non_retryable=("ValueError",),
        ),
        on_lost="fail",
        queue="slow",
        priority=-5,
        next=(
            TransitionDef(
                when="{{ succeeded() and result().ok }}",
                publish=(("done", True), ("who", "{{ result().by }}"), ("answer", "{{ result() }}")),
                do=("each", "pick"),
            ),
            TransitionDef(when="failed() or timed_out()", do=("fail",)),
            TransitionDef(publish=(("seen", 1),)),
        ),
    )
    assert workflow.tasks["each"].with_items == ItemsDef(
        items="{{ answer }}",
        batch_size="{{ parameters.order }}",
        concurrency=3,
        on_item_failure="run_all",
    )
    assert workflow.tasks["pick"].with_items == ItemsDef(items="{{ zip(answer, [1, 2]) }}", names=("x", "y"))
    assert workflow.tasks["gather"].chart_meta == {"x": 1, "y": [2, {"z": None}]}


def test_a_parallel_task_becomes_what_is_written() -> None:
    """The tasks inside are in it, in order, in either spelling; what is about items is theirs, the rest its own."""
    workflow = everything()
    side = workflow.tasks["side"]
    assert [task.name for task in workflow.every_task()][4:] == [
        "side",
        "ship",
        "mail",
        "more",
        "last",
        "deep",
    ]
    assert (side.type, side.on_item_failure, side.timeout, side.total_timeout) == (
        "parallel",
        "cancel_started",
        10,
        60,
    )
    ship, mail, more = side.tasks
    assert ship == TaskDef(
        name="ship",
        type="workflow",
        action="orders.ship",
        parent_close="abandon",
        input={"order": "{{ task.mail.result }}"},
    )
    assert mail == TaskDef(
        name="mail",
        action="core.echo",
        with_items=ItemsDef(items="{{ answer }}", names=("to",), batch_size=2, on_item_failure="run_all"),
        delay=2,
        input={"message": "{{ to }} {{ keystore.mail }}"},
        chart_meta={"y": 2},
    )
    assert more.tasks == (
        TaskDef(name="last"),
        TaskDef(
            name="deep",
            action="core.noop",
            heartbeat_timeout=5,
            retry=RetryDef(count=1, when="{{ task.ship.status == 'x' }}"),
        ),
    )


def test_a_stored_workflow_is_read_back_equal() -> None:
    """Also after a database has sorted the keys of every map."""
    workflow = everything()
    stored = workflow_to_json(workflow)
    assert workflow_from_json(stored) == workflow
    shuffled = json.loads(json.dumps(stored, sort_keys=True))
    again = workflow_from_json(shuffled)
    assert again == workflow
    assert list(again.tasks) == list(workflow.tasks)
    assert workflow_to_json(again) == stored


def test_the_digest_depends_on_the_meaning_only() -> None:
    """Not on the layout, the order of keys, or how a duration is written; but on the order of what has one."""
    text = "ref: t.w\nvars: {{a: 1, b: 2}}\ntasks:\n  x: {{action: core.noop, timeout: {}}}\n"
    one = digest_of(workflow_to_json(parse_workflow(text.format("90s"))))
    assert len(one) == 64
    listed = 'tasks: [{name: "x", timeout: 90, action: core.noop}]\nvars: [{a: 1}, {b: 2}]\nref: t.w\n'
    assert digest_of(workflow_to_json(parse_workflow(listed))) == one
    assert digest_of(workflow_to_json(parse_workflow(text.format("91s")))) != one
    swapped = text.replace("a: 1, b: 2", "b: 2, a: 1").format("90s")
    assert digest_of(workflow_to_json(parse_workflow(swapped))) != one
    items = list(workflow_to_json(everything()).items())
    random.Random(1).shuffle(items)
    assert digest_of(dict(items)) == digest_of(workflow_to_json(everything()))


def test_what_is_left_out_is_not_stored() -> None:
    """A stored definition stays small, and defaults stay defaults."""
    stored = workflow_to_json(parse_workflow("ref: t.w\ntasks:\n  a: {}\n"))
    assert stored == {"kind": "workflow", "ref": "t.w", "tasks": [{"name": "a"}]}


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (
            "runtime: python\nentry_point: a.py\nparameters: {a: {type: string}}\nqueue: slow\ntimeout: 5m",
            ActionDef(
                ref="t.a",
                runtime="python",
                entry_point="a.py",
                parameters={"a": {"type": "string"}},
                queue="slow",
                timeout=300,
            ),
        ),
        (
            "runtime: python\nentry_point: pkg.mod:func\nretry: {count: 2, delay: 1}",
            ActionDef(
                ref="t.a", runtime="python", entry_point="pkg.mod:func", retry=RetryDef(count=2, delay=1)
            ),
        ),
        (
            "runner_type: shell\nentry_point: a.sh\nparameter_delivery: file\nenabled: false\ntags: [x]",
            ActionDef(
                ref="t.a",
                runtime="shell",
                entry_point="a.sh",
                parameter_delivery="file",
                output_format="text",
                enabled=False,
                tags=("x",),
            ),
        ),
        (
            "runtime: shell\nentry_point: a.sh\noutput_format: jsonl\nparameters: {}\noutput: {b: {}}",
            ActionDef(
                ref="t.a",
                runtime="shell",
                entry_point="a.sh",
                output_format="jsonl",
                parameters={},
                output={"b": {}},
            ),
        ),
        (
            "runtime: node.js\nentry_point: a.js\nparameter_format: dotenv\nparameter_delivery: file",
            ActionDef(
                ref="t.a",
                runtime="node",
                entry_point="a.js",
                parameter_format="dotenv",
                parameter_delivery="file",
            ),
        ),
        (
            "runtime: shell\nentry_point: a.sh\nparameter_format: yaml\nretry: {count: 9, when: '{{ result().n < 3 or timed_out() }}'}",
            ActionDef(
                ref="t.a",
                runtime="shell",
                entry_point="a.sh",
                parameter_format="yaml",
                output_format="text",
                retry=RetryDef(count=9, when="{{ result().n < 3 or timed_out() }}"),
            ),
        ),
        (
            "runtime: dramatiq\nentry_point: shop.send-mail\nqueue: mails\n"
            "parameters: {key: {secret: true}}\noutput: {id: {secret: true}}",
            ActionDef(
                ref="t.a",
                runtime="dramatiq",
                entry_point="shop.send-mail",
                queue="mails",
                parameters={"key": {"secret": True}},
                output={"id": {"secret": True}},
            ),
        ),
        (
            "runtime: builtin\nentry_point: echo\nlabel: L\ndescription: D",
            ActionDef(ref="t.a", runtime="builtin", entry_point="echo", label="L", description="D"),
        ),
        ("workflow_file: workflows/a.workflow.yaml\nlabel: W", ActionDef(ref="t.a", label="W")),
    ],
)
def test_an_action_becomes_what_is_written_and_is_read_back_equal(text: str, action: ActionDef) -> None:
    """Every runtime, and the formats that follow from it."""
    assert parse_action(text, ref="t.a") == action
    if action.runtime is not None:
        stored = action_to_json(action)
        assert action_from_json(json.loads(json.dumps(stored, sort_keys=True))) == action


def test_what_is_nested_as_deeply_as_a_file_may_be_can_be_stored() -> None:
    """The stored form writes some maps as lists: what it adds to the depth is not held against it."""
    inner = "{}"
    for number in range((MAX_DEPTH - 4) // 2):
        inner = f"{{type: parallel, tasks: {{t{number}: {inner}}}}}"
    for text in (
        f"vars: {{v: {lists(MAX_DEPTH - 2)}}}\ntasks: {{a: {{}}}}",
        f"tasks: {{a: {{next: [{{publish: {{v: {lists(MAX_DEPTH - 6)}}}}}]}}}}",
        f"tasks: {{a: {{publish: {{v: {lists(MAX_DEPTH - 4)}}}}}}}",
        f"tasks: {{a: {inner}}}",
    ):
        workflow = parse_workflow(f"ref: t.w\n{text}")
        stored = workflow_to_json(workflow)
        assert workflow_from_json(json.loads(json.dumps(stored))) == workflow


def lists(depth: int) -> str:
    """Return a number inside so many lists."""
    return "[" * depth + "1" + "]" * depth


def test_a_ref_follows_from_the_place_or_must_be_written() -> None:
    """Written and given, they must agree."""
    assert parse_workflow("tasks: {a: {}}", ref="t.w").ref == "t.w"
    assert parse_workflow("ref: t.w\ntasks: {a: {}}", ref="t.w").ref == "t.w"
    with pytest.raises(DefinitionError, match="does not fit"):
        parse_workflow("ref: t.v\ntasks: {a: {}}", ref="t.w")


@pytest.mark.parametrize("data", [{}, {"kind": "action"}, {"kind": "workflow", "ref": "t.w"}])
def test_a_stored_document_that_is_no_workflow_is_refused(data: dict[str, Any]) -> None:
    """Nothing is made up."""
    with pytest.raises(DefinitionError):
        workflow_from_json(data)


@pytest.mark.parametrize(
    "task",
    [
        "{action: 'core.{{ parameters.kind }}'}",
        "{action: core.noop, retry: {count: '{{ parameters.n }}', when: 'failed'}}",
        "{action: core.noop, with_items: [1, '{{ parameters.n }}'], concurrency: '{{ 1 + 1 }}'}",
        "{action: core.noop, with_items: 'x in {{ [1] }}', input: {a: '{{ x }}{{ item }}'}}",
        "{action: core.noop, queue: '{{ parameters.q }}', priority: '{{ 1 }}', delay: 0}",
        "{action: core.noop, next: [{do: []}, {when: true, do: noop}, {when: 'always', do: continue}]}",
        "{action: core.noop, input: {}}",
        "{when: 'false', next: [{when: skipped, do: noop}]}",
        "{action: core.noop, schedule_timeout: '{{ parameters.n }}', total_timeout: 1.5, heartbeat_timeout: 1d}",
        "{action: core.noop, with_items: '{{ [1] }}', batch_size: '{{ parameters.n }}'}",
        "{action: core.noop, with_items: 'x in [1]', batch_size: 3, input: {x: '{{ x }}'}}",
        "{type: workflow, action: '{{ parameters.ref }}', parent_close: terminate, with_items: [1]}",
        "{type: parallel, tasks: {x: {}}}",
        "{type: parallel, tasks: [{name: x, action: core.noop, input: {k: '{{ keystore.k }}', s: '{{ task.x.result }}'}}]}",
        "{type: parallel, tasks: {x: {type: parallel, tasks: {y: {type: parallel, tasks: {z: {when: 'false'}}}}}}}",
        "{type: parallel, tasks: {x: {}}, next: [{when: '{{ result().x }}', publish: [x, {y: '{{ task.x.status }}'}]}]}",
    ],
)
def test_what_is_accepted_can_be_compiled_and_stored(task: str) -> None:
    """The parser's word is the compiler's."""
    workflow = parse_workflow(f"ref: t.w\ntasks:\n  a: {task}\n")
    stored = workflow_to_json(workflow)
    assert workflow_from_json(stored) == workflow
    assert compile_workflow(workflow, digest_of(stored)).definition == stored
