"""What an action needs to know, and what nobody else may: secrets on their way through a worker.

Before an attempt its input is opened, and what could not be checked while it was closed is checked. After it, and
while it runs, whatever it says is scrubbed; what its `output` declares as secret is hidden, so that it is sealed when
it is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dramaturg.engine.errors import JSON, Failure
from dramaturg.engine.language.model import ActionDef
from dramaturg.engine.language.schema import ParameterSet
from dramaturg.engine.runtime import ActionOutcome
from dramaturg.engine.runtime.request import Beat
from dramaturg.engine.scrub import Scrubber
from dramaturg.engine.secret import hidden, holds
from dramaturg.engine.store import keystore
from dramaturg.engine.store.vault import NoKey, Revealed, Unresolved, Vault


class Refused(Exception):
    """The attempt can't be made; `failure` says why, without any secret in it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Disclosure:
    """One attempt's secrets."""

    def __init__(self, action: ActionDef, revealed: Revealed) -> None:
        #: The input with everything that is secret in it as it is.
        self.input: dict[str, JSON] = revealed.value
        #: What takes the input's secrets out of anything.
        self.scrub = Scrubber(revealed.plaintexts)
        #: Names of what the action gives that is secret.
        self.hides = [name for name, schema in (action.output or {}).items() if schema.get("secret") is True]
        self._plaintexts = revealed.plaintexts

    @property
    def secret(self) -> bool:
        """Say whether the input holds secrets."""
        return bool(self._plaintexts)

    def beats(self, on_beat: Callable[[Beat], None] | None) -> Callable[[Beat], None] | None:
        """Return what hands a heartbeat on, scrubbed."""
        if on_beat is None or not self.scrub:
            return on_beat
        scrub = self.scrub

        def pass_on(beat: Beat) -> None:
            message = None if beat.message is None else scrub.text(beat.message, cut=True)
            on_beat(replace(beat, details=scrub.value(beat.details), message=message))

        return pass_on

    def outcome(self, outcome: ActionOutcome) -> ActionOutcome:
        """Return how the attempt ended, as it may be stored: scrubbed, and with its secret outputs hidden."""
        result = outcome.result
        given = hidden(result, self.hides) if self.hides and isinstance(result, dict) else result
        scrub = self.scrub
        if given is not result:
            own = [result[name] for name in self.hides if result.get(name) is not None]
            scrub = Scrubber([*self._plaintexts, *own])
        if not scrub:
            return outcome
        logs = tuple(replace(chunk, text=scrub.text(chunk.text, cut=True)) for chunk in outcome.logs)
        error = None if outcome.error is None else scrubbed(outcome.error, scrub)
        return replace(outcome, result=scrub.value(given), error=error, logs=logs)


def disclose(vault: Vault, ask: keystore.Ask, action: ActionDef, given: dict[str, JSON]) -> Disclosure:
    """Open what is secret in an input, for the worker that is to use it.

    Raises:
        Refused: a secret does not exist or can't be opened, the action's parameters do not allow it, or there is no
            key for what the action's output declares as secret.
        Unreachable: the database does not answer.
    """
    secretive = holds(given)
    try:
        revealed = vault.reveal(given, keystore.sealed(ask)) if secretive else Revealed(given, ())
        disclosure = Disclosure(action, revealed)
        if disclosure.hides and not vault.available:
            raise NoKey(f"{action.ref} has secrets in its output, and this worker has no secret key")
    except (Unresolved, NoKey) as error:
        raise Refused(Failure(type="InvalidInput", message=f"{action.ref}: {error}")) from None
    problems = ParameterSet(action.parameters).problems(disclosure.input) if secretive else []
    if problems:
        message = f"{action.ref} refuses its input: " + "; ".join(problems)
        failure = Failure(type="InvalidInput", message=message, details={"problems": problems})
        raise Refused(scrubbed(failure, disclosure.scrub))
    return disclosure


def scrubbed(failure: Failure, scrub: Scrubber) -> Failure:
    """Return a failure without the secrets."""
    return replace(
        failure,
        type=scrub.text(failure.type),
        message=scrub.text(failure.message, cut=True),
        details=scrub.value(failure.details, cut=True),
    )
