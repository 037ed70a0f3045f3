"""A slow and obvious model of a run, written from LANGUAGE.md: what the engine must agree with.

The whole state is in lists and dicts, everything is looked up by walking through them, and each thing that happens is
done at once: no views, no decisions, no commands, no batches. It reads a workflow as plain data (what YAML gives), in
its plainest spelling, and knows of the engine nothing at all.
"""

from __future__ import annotations

from typing import Any

from plain_expressions import Fault, holds, render
from reference_starting import NotStarted, Starting
from reference_state import DONE_WAITING, Token, Visit, Work, at_once, highest, seconds, words
from scripts import Ending

COMMANDS = ("fail", "noop", "continue", "succeed")
#: Errors that are never tried again (LANGUAGE 4).
FINAL = ("UnknownAction", "InvalidInput", "LeaseLost")
#: How often an attempt that is lost is made again (LANGUAGE 4, `on_lost`).
LOST = 3


class Run(Starting):
    """One run, from its start to its end.

    Args:
        flow: the workflow as data: `tasks` is a map, `next` a list, `publish` a list of maps and names, `do` a list.
    """

    # --- the world -------------------------------------------------------------------------------------------

    def play(self) -> Run:
        """Play the run to its end, and return it."""
        self.inbox.append(self.start)
        for _ in range(100_000):
            if self.over:
                return self
            self.step()
        raise AssertionError("the model's run does not end")

    def step(self) -> None:
        """Do the next thing: apply what has returned, let an attempt end, or move time."""
        for work in self.open():
            if work.status == "requested":
                work.status = "running"
        running = [work for work in self.open() if work.status == "running"]
        if len(self.inbox) >= self.script.batch or (self.inbox and not running):
            batch, self.inbox = self.inbox[: self.script.batch], self.inbox[self.script.batch :]
            for apply in batch:
                if not self.over:
                    apply()
                    self.go_on()
            for visit in self.visits:
                self.let_items_in(visit)
        elif running:
            if self.order.is_time_to_cancel():
                self.inbox.append(self.cancelled)
            chosen = self.order.choose([work.place for work in running])
            work = next(work for work in running if work.place == chosen)
            self.returns(
                work, Ending("cancelled", None, "Cancelled") if work.stop else self.script.ending(chosen)
            )
        else:
            self.move_time()

    def move_time(self) -> None:
        """Go to the next moment at which something is due."""
        dues = [work.due for work in self.open() if work.due is not None]
        late = [visit for visit in self.visits if visit.status is None and visit.deadline is not None]
        dues += [visit.deadline for visit in late if visit.deadline is not None]
        if self.deadline is not None:
            dues.append(self.deadline)
        if not dues:
            raise AssertionError("the model's run hangs")
        self.elapsed = max(self.elapsed, min(dues))
        if self.deadline is not None and self.deadline <= self.elapsed:
            self.deadline = None
            self.inbox.append(self.times_out)
        for visit in late:
            if visit.deadline is not None and visit.deadline <= self.elapsed:
                visit.deadline = None
                self.inbox.append(lambda visit=visit: self.visit_times_out(visit))
        for work in self.open():
            if work.due is not None and work.due <= self.elapsed:
                work.due = None
                if work.status == "delayed":
                    work.status = at_once(self.tasks[work.visit.task])
                else:
                    self.returns(work, DONE_WAITING)

    def returns(self, work: Work, ending: Ending) -> None:
        """An attempt has ended; what follows from it is applied later."""
        work.status, work.ending, work.due = "returned", ending, None
        self.inbox.append(lambda: self.attempt_ended(work, ending))

    def open(self) -> list[Work]:
        """Return the work that has not ended."""
        return [work for visit in self.visits for work in visit.works if not work.over]

    def go_on(self) -> None:
        """Put tokens on their tasks, first come, first served; then see whether the run is over."""
        while self.tokens:
            token = self.tokens.pop(0)
            if token.group is not None:
                self.enter_member(token, token.group)
            elif self.may_go_on(token):
                self.arrive(token)
        if not self.over and all(visit.status is not None for visit in self.visits):
            self.end()

    def may_go_on(self, token: Token) -> bool:
        """Something new may start here: the run is not about to end, or this was put beside a `fail`."""
        return self.closing is None or (token.spared and not self.all_stops)

    # --- beginning and end -----------------------------------------------------------------------------------

    def start(self) -> None:
        """LANGUAGE 3 and 6: variables in order, the deadline, a token on each entry point."""
        try:
            for name, value in self.flow.get("vars", {}).items():
                self.variables[name] = render(value, self.names())
        except Fault:
            self.close("failed", {"type": "ExpressionError"})
            return
        if "timeout" in self.flow:
            self.deadline = float(self.flow["timeout"])
        for name in self.outer:
            if name in self.flow["start"] if "start" in self.flow else not self.before(name):
                self.tokens.append(Token(name))

    def times_out(self) -> None:
        """The run's own timeout: everything ends, what was spared too."""
        self.close("timed_out", {"type": "Timeout"}, everything=True)

    def cancelled(self) -> None:
        """Somebody asked that the run be cancelled: everything ends, what was spared too (LANGUAGE 10)."""
        self.close("cancelled", {"type": "Cancelled"}, everything=True)

    def visit_times_out(self, visit: Visit) -> None:
        """A visit's `total_timeout`: it ends so, whatever its attempts say that are not applied yet."""
        if visit.status is None:
            visit.late = True
            self.stop(visit, running=True)

    def close(self, status: str, error: Any, *, everything: bool = False, running: bool = False) -> None:
        """Decide how the run ends, if that is not decided; nothing new starts from now on (LANGUAGE 5).

        Args:
            everything: nothing is spared.
            running: what runs is cancelled, whatever the policy.
        """
        if self.closing is not None and not everything:
            return
        self.closing = self.closing or (status, error)
        self.all_stops = self.all_stops or everything
        running = running or everything or self.flow.get("cancellation_policy") == "cancel_running"
        for visit in list(self.visits):
            if visit.status is None and not self.may_go_on(visit.token):
                self.stop(visit, running)

    def stop(self, visit: Visit, running: bool) -> None:
        """Start nothing more of a visit, cancel what waits, and what runs where that is wanted."""
        visit.stopped = True
        for inner in list(visit.inside):
            if inner.status is None:
                self.stop(inner, running)
        for work in visit.works:
            if work.status == "held":
                work.status, work.error = "skipped", None
            elif work.status in ("delayed", "requested", "waiting"):
                self.returns(work, Ending("cancelled", None, "Cancelled"))
            elif work.status == "running" and running:
                work.stop = True
        self.see_whether_all_items_ended(visit)

    def end(self) -> None:
        """Nothing is left: joins that were reached and never met fail the run; then `output_map` (LANGUAGE 3, 5)."""
        missed = [one for one in self.rounds if not one["fired"]]
        if self.closing is None and missed:
            self.closing = ("failed", {"type": "UnreachableJoin", "task": missed[0]["task"]})
        self.status, self.error = self.closing or ("succeeded", None)
        faults = []
        for name, value in self.flow.get("output_map", {}).items():
            try:
                self.output[name] = render(value, self.names(output=self.output))
            except Fault:
                faults.append({"type": "ExpressionError"})
        if faults and self.status == "succeeded":
            self.status, self.error = "failed", faults.pop(0)
        if self.error is not None and self.error not in self.errors:
            self.errors.append(self.error)
        self.errors += faults
        self.over = True

    # --- tokens, joins, visits -------------------------------------------------------------------------------

    def arrive(self, token: Token) -> None:
        """LANGUAGE 6: without a join each token is a visit; a round of a join counts each predecessor once."""
        join = self.tasks[token.task].get("join")
        if join is None:
            self.enter(token)
            return
        number = token.past.get(token.task, 0) + 1
        found = [one for one in self.rounds if (one["task"], one["round"]) == (token.task, number)]
        if not found:
            found = [
                {
                    "task": token.task,
                    "round": number,
                    "arrived": [],
                    "past": {},
                    "spared": False,
                    "fired": False,
                }
            ]
            self.rounds += found
        one = found[0]
        if one["fired"] or token.origin in one["arrived"]:
            return
        one["arrived"].append(token.origin)
        one["past"] = highest(one["past"], token.past)
        one["spared"] = one["spared"] or token.spared
        if len(one["arrived"]) == (len(self.before(token.task)) if join == "all" else join):
            one["fired"] = True
            past = {**one["past"], token.task: number}
            self.enter(Token(token.task, past=past, spared=one["spared"]))

    def enter(self, token: Token) -> None:
        """Begin the next visit of a task, unless there were too many."""
        number = len(self.visits_of(token.task)) + 1
        if number > self.flow.get("limits", {}).get("visits", 10_000):
            self.close("failed", {"type": "LimitExceeded", "task": token.task, "visit": number})
            return
        self.begin(Visit(token.task, number, token))

    def enter_member(self, token: Token, group: Visit) -> None:
        """Begin a visit inside a parallel task: it has that one's number; once others had to stop it is skipped."""
        visit = Visit(token.task, group.number, token)
        group.inside.append(visit)
        if self.may_go_on(token) and not group.stopped:
            self.begin(visit)
        else:
            visit.held = True
            self.visits.append(visit)
            self.complete(visit, "skipped", None, None)

    def begin(self, visit: Visit) -> None:
        """Begin a visit: it is skipped, ends at once, or becomes work."""
        task = self.tasks[visit.task]
        try:
            ends, error = self.prepare(visit, task), None
        except Fault:
            ends, error = "failed", self.failure(visit, "ExpressionError")
        except NotStarted as problem:
            ends, error = "failed", self.failure(visit, problem.type)
        self.visits.append(visit)
        if ends is not None:
            self.complete(visit, ends, [] if visit.fans_out and error is None else None, error)
        elif "tasks" in task:
            self.tokens += [
                Token(name, visit.task, visit.token.past, visit.token.spared, visit) for name in task["tasks"]
            ]
        elif visit.fans_out:
            self.begin_items(visit)
        else:
            self.let_start(visit.works[0], seconds(self.render_own(task.get("delay", 0))))

    def let_start(self, work: Work, delay: float) -> None:
        """Let work start now, or after a delay; a sleep waits by itself."""
        task = self.tasks[work.visit.task]
        if task["action"] == "core.sleep":
            work.status, work.due = "waiting", self.elapsed + delay + seconds(work.input["seconds"])
        elif delay:
            work.status, work.due = "delayed", self.elapsed + delay
        else:
            work.status = at_once(task)

    # --- attempts --------------------------------------------------------------------------------------------

    def attempt_ended(self, work: Work, ending: Ending) -> None:
        """LANGUAGE 4: it is made again, or its outcome stands."""
        visit, task = work.visit, self.tasks[work.visit.task]
        status, type = ending.status, ending.type
        if status == "lost":
            work.lost += 1
            status, type = "failed", "LeaseLost"
        error = None
        if status != "succeeded":
            type = type or {"timed_out": "Timeout", "cancelled": "Cancelled"}.get(status, "Error")
            error = self.failure(visit, type, work.item, work.attempt)
        if visit.late and not visit.fans_out:
            status, error = "timed_out", self.failure(visit, "Timeout", work.item, work.attempt)
        if self.may_go_on(visit.token) and not any(
            self.is_called_off(one) for one in (visit, *self.around(visit))
        ):
            try:
                delay = self.again_after(work, task, ending, status, error)
            except Fault:
                status, delay = "failed", None
                error = self.failure(visit, "ExpressionError", work.item, work.attempt)
            if delay is not None:
                work.attempt += 1
                work.stop = False
                self.let_start(work, delay)
                return
        work.status, work.result, work.error = status, ending.result, error
        if visit.fans_out:
            self.item_ended(visit, task, status)
        else:
            visit.attempts = work.attempt
            self.complete(visit, status, work.result, error)

    def is_called_off(self, visit: Visit) -> bool:
        """Nothing of it is tried again: its time is over, or another failure cancels what has started."""
        return visit.late or (
            visit.stopped and self.tasks[visit.task].get("on_item_failure") == "cancel_started"
        )

    def again_after(
        self, work: Work, task: dict[str, Any], ending: Ending, status: str, error: dict[str, Any] | None
    ) -> float | None:
        """Return after how many seconds another attempt is made; None: no more."""
        if ending.status == "lost":
            return 0 if task.get("on_lost") != "fail" and work.lost <= LOST else None
        retry = render({k: v for k, v in task.get("retry", {}).items() if k != "when"}, self.names())
        done = work.attempt - 1 - work.lost
        if not retry or done >= retry["count"] or status in ("cancelled", "skipped"):
            return None
        if error is not None and error["type"] in (*FINAL, *retry.get("non_retryable", [])):
            return None
        if "when" in task["retry"]:
            if not holds(task["retry"]["when"], self.names(**words(status, ending.result, error))):
                return None
        elif status not in ("failed", "timed_out"):
            return None
        delay = seconds(retry.get("delay", 0))
        if retry.get("backoff") == "linear":
            delay *= done + 1
        if retry.get("backoff") == "exponential":
            delay *= retry.get("factor", 2) ** done
        return min(delay, seconds(retry.get("max_delay", delay)))

    # --- items -----------------------------------------------------------------------------------------------

    def begin_items(self, visit: Visit) -> None:
        """Let the first items start; one that cannot be started has failed as soon as it is looked at."""
        for work in visit.works:
            if work.status == "held" and work.error is not None:
                work.status = "failed"
                self.item_stops_others(visit, self.tasks[visit.task])
            elif work.status == "held" and self.has_room(visit):
                self.let_item_start(work)
        self.see_whether_all_items_ended(visit)

    def let_items_in(self, visit: Visit) -> None:
        """Let further items start, in order, while there is room."""
        for work in visit.works:
            if work.status == "held" and self.has_room(visit):
                self.let_item_start(work)

    def has_room(self, visit: Visit) -> bool:
        at_work = sum(not one.over and one.status != "held" for one in visit.works)
        return visit.concurrency is None or at_work < visit.concurrency

    def let_item_start(self, work: Work) -> None:
        self.let_start(work, seconds(render(self.tasks[work.visit.task].get("delay", 0), self.names())))

    def item_ended(self, visit: Visit, task: dict[str, Any], status: str) -> None:
        if status != "succeeded":
            self.item_stops_others(visit, task)
        self.see_whether_all_items_ended(visit)

    def item_stops_others(self, visit: Visit, task: dict[str, Any]) -> None:
        """LANGUAGE 4, `on_item_failure`."""
        policy = task.get("on_item_failure", "finish_started")
        if policy == "run_all" or visit.stopped:
            return
        visit.stopped = True
        for work in visit.works:
            if work.status == "held":
                work.status, work.error = "skipped", None
        if policy == "cancel_started":
            self.stop(visit, running=True)

    def see_whether_all_items_ended(self, visit: Visit) -> None:
        """LANGUAGE 8: the outcome of all items together."""
        if not visit.fans_out or visit.status is not None or not all(work.over for work in visit.works):
            return
        seen = [work.status for work in visit.works]
        visit.attempts = max((work.attempt for work in visit.works if work.status != "skipped"), default=0)
        self.complete_together(
            visit, seen, [work.error for work in visit.works], [work.result for work in visit.works]
        )

    def complete_together(self, visit: Visit, seen: list[str], errors: list[Any], result: Any) -> None:
        """Items, or tasks inside, have all ended: their outcomes and errors make one."""
        if visit.late:
            self.complete(visit, "timed_out", result, self.failure(visit, "Timeout"))
            return
        if all(one == "succeeded" for one in seen):
            self.complete(visit, "succeeded", result, None)
            return
        stopped = any(one.stopped for one in self.around(visit)) or not self.may_go_on(visit.token)
        if "failed" in seen or "timed_out" in seen:
            status = "failed" if "failed" in seen else "timed_out"
        else:
            status = "cancelled" if stopped else "failed"
        weights = {"Timeout": 1, "Cancelled": 2}
        types = [error["type"] for error in errors if error is not None]
        otherwise = "Cancelled" if status == "cancelled" else "Failed"
        type = min(types, key=lambda one: weights.get(one, 0), default=otherwise)
        self.complete(visit, status, result, self.failure(visit, type))

    def member_ended(self, group: Visit) -> None:
        """A task inside has ended: the others may have to stop, or all have ended."""
        task = self.tasks[group.task]
        policy = task.get("on_item_failure", "finish_started")
        bad = any(one.status in ("failed", "timed_out", "cancelled") for one in group.inside)
        if bad and policy != "run_all" and not group.stopped:
            group.stopped = True
            if policy == "cancel_started":
                self.stop(group, running=True)
        ended = len(group.inside) == len(task["tasks"]) and all(
            one.status is not None for one in group.inside
        )
        if ended and group.status is None:
            # One that its own `when` has skipped has done what it should.
            seen = [
                "succeeded" if one.status == "skipped" and not one.held else one.status or ""
                for one in group.inside
            ]
            results = {one.task: one.result for one in group.inside}
            self.complete_together(group, seen, [one.error for one in group.inside], results)

    # --- completion ------------------------------------------------------------------------------------------

    def complete(self, visit: Visit, status: str, result: Any, error: dict[str, Any] | None) -> None:
        """A visit has ended: its transitions are evaluated, whole, one after the other (LANGUAGE 4 and 5)."""
        visit.status, visit.result, visit.error = status, result, error
        self.completed.append(visit)
        if error is not None:
            self.errors.append(error)
        if visit.token.group is not None:
            self.member_ended(visit.token.group)
            return
        if not self.may_go_on(visit.token):
            return
        before = dict(self.variables)
        try:
            fired = self.fire(visit)
        except Fault:
            self.variables = before
            self.close("failed", {**self.failure(visit, "ExpressionError"), "in": "next"})
            return
        handled = any(do and do != ["continue"] for do in fired)
        for do in fired:
            if self.closing is not None and self.closing[0] == "succeeded":
                break
            spared = visit.token.spared or "fail" in do
            tokens = [
                Token(name, visit.task, visit.token.past, spared) for name in do if name not in COMMANDS
            ]
            if "fail" in do:
                self.close("failed", {"type": "Fail", "task": visit.task, "visit": visit.number})
            if "succeed" in do:
                self.close("succeeded", None, running=True)
            self.tokens += tokens
        if status in ("failed", "timed_out", "cancelled") and not handled:
            self.close(status, error)

    def fire(self, visit: Visit) -> list[list[str]]:
        """Return the targets of each transition that fires; their publishes are applied."""
        said = words(visit.status, visit.result, visit.error)
        fired = []
        for transition in self.tasks[visit.task].get("next", []):
            if not holds(transition.get("when"), self.names(**said)):
                continue
            for one in transition.get("publish", []):
                for name, value in {one: "{{ result() }}"}.items() if isinstance(one, str) else one.items():
                    self.variables[name] = render(value, self.names(**said))
            fired.append(list(transition.get("do", [])))
        return fired
