"""A run without workers, clock or database: every task gets a scripted outcome.

:class:`~dramaturg.engine.interpreter.memory.Memory` is the store; :class:`Rehearsal` is everybody else. Whatever a worker
may take runs at once, as if there were threads without end; which of the running ones ends next is a choice. Time is
virtual: it moves to the next due moment when nothing else is left. Nothing here is random: the same script and the same
choices give the same history.

Used by the tests of the interpreter, and for those of workflows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dramaturg.engine.errors import JSON, Failure, InternalError
from dramaturg.engine.interpreter.memory import Answer, Execution, Memory, cancelled
from dramaturg.engine.interpreter.replay import replay
from dramaturg.engine.interpreter.state import NO_ITEM, ActionInfo, Continue, RunTimedOutInput, VisitTimedOut
from dramaturg.engine.language.program import Program
from dramaturg.engine.language.schema import ParameterSet

__all__ = [
    "Answer",
    "Execution",
    "Memory",
    "Rehearsal",
    "failed",
    "first",
    "lost",
    "scripted",
    "succeeded",
    "timed_out",
    "workers",
]

#: How an attempt ends, by the execution; what runs and is asked to stop is not asked.
Script = Callable[[Execution], Answer]

#: Which of so many running executions ends next: an index. Called with what there is to choose from.
Choice = Callable[[Sequence[Execution]], int]

#: Steps after which a rehearsal that has not ended is taken for one that never will.
PATIENCE = 200_000


def succeeded(result: JSON = None) -> Answer:
    """Return an attempt that succeeds."""
    return Answer(result=result)


def failed(message: str = "it failed", *, type: str = "Error", details: JSON = None) -> Answer:
    """Return an attempt that fails."""
    return Answer(status="failed", error=Failure(type=type, message=message, details=details))


def timed_out(seconds: float = 1.0) -> Answer:
    """Return an attempt that takes longer than its timeout."""
    details = {"kind": "start_to_close", "seconds": seconds}
    error = Failure(type="Timeout", message=f"it took longer than {seconds:g} s", details=details)
    return Answer(status="timed_out", error=error)


def lost() -> Answer:
    """Return an attempt whose worker dies."""
    return Answer(status="lost")


def first(choices: Sequence[Execution]) -> int:
    """Choose what has been running longest."""
    return 0


def scripted(answers: Mapping[str, Answer | Sequence[Answer] | Script]) -> Script:
    """Return a script that knows tasks by name: an answer, one for each attempt of all its visits in turn, or a function.

    The last of a sequence is given for ever; a task that is not named succeeds with its input.
    """
    counts: dict[str, int] = {}

    def answer(one: Execution) -> Answer:
        given = answers.get(one.made.task, _echo)
        if isinstance(given, Answer):
            return given
        if callable(given):
            return given(one)
        count = counts.get(one.made.task, 0)
        counts[one.made.task] = count + 1
        return given[min(count, len(given) - 1)]

    return answer


def _echo(one: Execution) -> Answer:
    return Answer(result=one.made.input)


class Rehearsal:
    """Plays a run to its end.

    Args:
        memory: the run.
        script: how each attempt of a worker or of a nested run ends.
        choose: which running execution ends next.
        batch: how many inputs one advance gets, where so many are there.
        absent: whether there is no worker for an execution, so that it stays where it is.
        react: called when nothing goes on by itself but time; says whether it did something (a signal, an answer).
        programs: nested workflows by ref that are played too, with the same script; those not here are scripted.
        checked: after each advance, compare the history with the tables (slow for long runs).
    """

    def __init__(
        self,
        memory: Memory,
        script: Script | None = None,
        *,
        choose: Choice = first,
        batch: int = 1,
        programs: Mapping[str, Program] | None = None,
        checked: bool = False,
        absent: Callable[[Execution], bool] = lambda one: False,
        react: Callable[[Memory], bool] = lambda memory: False,
    ) -> None:
        self.memory = memory
        self.script = script or _echo
        self.choose = choose
        self.batch = batch
        self.programs = programs or {}
        self.checked = checked
        self.absent = absent
        self.react = react
        #: Nested runs that were played, by the id of the execution that they are.
        self.children: dict[int, Memory] = {}

    def play(self) -> Memory:
        """Play until the run has ended, and return it.

        Raises:
            InternalError: it cannot end, or the history does not agree with the tables.
        """
        for _ in range(PATIENCE):
            if self.memory.end is not None:
                return self.memory
            if not self.step():
                raise InternalError(f"the run hangs: {self.memory.run}")
        raise InternalError(f"the run has not ended after {PATIENCE} steps")

    def step(self) -> bool:
        """Do the next thing; return whether there was one."""
        memory = self.memory
        self._claim()
        if len(memory.inbox) >= self.batch or (memory.inbox and not self._running()):
            self._advance()
        elif running := self._running():
            self._end(running[self.choose(running)])
        else:
            return self.react(memory) or self._wait()
        return True

    def settle(self) -> None:
        """Apply what has happened so far; nobody ends anything."""
        while self.memory.inbox:
            self._advance()
        self._claim()

    def find(self, task: str, item: int = NO_ITEM) -> Execution:
        """Return the latest execution of a task that has not ended.

        Raises:
            LookupError: there is none.
        """
        return [one for one in self._open() if (one.made.task, one.made.item) == (task, item)][-1]

    def end(self, task: str, answer: Answer | None = None, item: int = NO_ITEM) -> None:
        """End the running attempt of one task, and apply it."""
        self.settle()
        one = self.find(task, item)
        self.memory.finish(one, answer or self.script(one))
        self.settle()

    def _advance(self) -> None:
        self.memory.take(self.batch)
        if self.checked:
            problems = replay(self.memory.history).differences(self.memory.state()) + self._miscounts()
            if problems:
                raise InternalError("\n".join(problems))

    def _open(self) -> list[Execution]:
        return [one for one in self.memory.executions.values() if not one.over]

    def _running(self) -> list[Execution]:
        counted = ("fanout", "parallel")
        return [one for one in self._open() if one.status == "running" and one.made.kind not in counted]

    def _claim(self) -> None:
        for one in self._open():
            if one.status == "requested" and not self.absent(one):
                one.status = "running"

    def _end(self, one: Execution) -> None:
        if one.cancel_requested:
            self.memory.finish(one, cancelled("it was cancelled"))
            return
        program = self.programs.get(one.made.action or "") if one.made.kind == "workflow" else None
        self.memory.finish(one, self.script(one) if program is None else self._play_child(one, program))

    def _play_child(self, one: Execution, program: Program) -> Answer:
        child = Memory(
            program, actions=self.memory.actions, parameters=one.made.input, run_id=f"{self.memory.run.run_id}.{one.id}"
        )  # fmt: skip
        self.children[one.id] = child
        Rehearsal(child, self.script, programs=self.programs, batch=self.batch, checked=self.checked).play()
        if child.end is None:
            raise InternalError("a nested run has not ended")
        return Answer(status=child.end.status, result=child.end.output, error=child.end.error)

    def _wait(self) -> bool:
        """Move time to the next due moment; return whether there is one."""
        memory = self.memory
        dues = [due for one in self._open() if (due := self._due(one)) is not None]
        dues += [due for due, _ in memory.deadlines.values()]
        if memory.deadline is not None:
            dues.append(memory.deadline[0])
        if not dues:
            return False
        memory.elapsed = max(memory.elapsed, min(dues))
        if memory.deadline is not None and memory.deadline[0] <= memory.elapsed:
            memory.inbox.append(RunTimedOutInput(kind="run", seconds=memory.deadline[1]))
            memory.deadline = None
        for (task, visit, kind), (due, seconds) in tuple(memory.deadlines.items()):
            if due <= memory.elapsed:
                del memory.deadlines[task, visit, kind]
                memory.inbox.append(VisitTimedOut(task=task, visit=visit, kind=kind, seconds=seconds))
        for one in self._open():
            due_at = self._due(one)
            if due_at is not None and due_at <= memory.elapsed:
                self._fall_due(one)
        return True

    @staticmethod
    def _due(one: Execution) -> float | None:
        """Return when something happens to it by itself; what no worker takes is given up by its schedule_timeout."""
        if one.status == "requested" and one.made.schedule_timeout is not None:
            return one.since + one.made.schedule_timeout
        return one.due

    def _fall_due(self, one: Execution) -> None:
        if one.status == "waiting":
            asleep = one.made.kind == "wait" and "awaits" not in one.made.policy
            result: JSON = {} if asleep else None
            self.memory.finish(one, Answer(status="due", result=result), ran=one.made.kind != "wait")
        elif one.status == "requested":
            self.memory.finish(one, Answer(status="unstarted"), ran=False)
        else:
            self.memory.let_run(one)

    def _miscounts(self) -> list[str]:
        """Return what the counts of the run say that its rows do not."""
        memory, problems = self.memory, []
        visits = sum(one.made.item == NO_ITEM for one in memory.executions.values() if not one.over)
        goings_on = sum(isinstance(one, Continue) for one in memory.inbox)
        if memory.run.open != visits + goings_on:
            problems.append(f"open is {memory.run.open}, and {visits} visits and {goings_on} inputs are")
        unfired = sum(not one.fired for one in memory.joins.values())
        if memory.run.open_joins != unfired:
            problems.append(f"open_joins is {memory.run.open_joins}, and {unfired} rounds have not fired")
        for (task, visit), fan in memory.items.items():
            members = memory.program.tasks[task].members
            if members:
                ended = sum(memory.executions[name, visit, NO_ITEM].over for name in members
                            if (name, visit, NO_ITEM) in memory.executions)  # fmt: skip
                if fan.ended != ended:
                    problems.append(f"{fan} says other than its members, of which {ended} have ended")
                continue
            rows = memory.rows(task, visit)
            running = sum(not one.over and not one.held for one in rows)
            if (fan.inserted, fan.running) != (len(rows), running):
                problems.append(f"{fan} says other than its {len(rows)} rows, of which {running} run")
        return problems


def workers(*refs: str, **more: ActionInfo) -> Callable[[str], ActionInfo | None]:
    """Return a catalog of actions that take anything, done by workers; without refs it has every ref there is."""

    def find(ref: str) -> ActionInfo | None:
        known = more.get(ref)
        if known is not None or (refs and ref not in refs):
            return known
        return ActionInfo(ref=ref, kind="worker", parameters=ParameterSet(None))

    return find
