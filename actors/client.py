"""The public `Client`, `AsyncClient` and `Worker`: the engine's client, with a broker to tell workers of new runs.

A client tells whoever serves its database: through the broker, where there is one; else the workers of this process
that were started with it. A broker that does not answer keeps no run from being started: it is in the database, and
some worker's clock finds it.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from dramaturg.actors.broker import make_broker
from dramaturg.actors.courier import Courier
from dramaturg.actors.worker import InProcessWorker
from dramaturg.engine import client as engine
from dramaturg.engine.config import Settings, load_settings
from dramaturg.engine.service import Service

if TYPE_CHECKING:
    from dramatiq import Broker


class Client(engine.Client):
    """Starts runs, finds them again, asks about them. May be used by many threads at once.

    ``Client()`` takes the settings from the environment and from dramaturg.toml; ``Client(database_url=...,
    broker_url=..., packs=[...])`` gives some of them. A client alone executes nothing: `dramaturg worker` does, or
    a :class:`Worker` in this process.
    """

    def __init__(
        self, settings: Settings | None = None, *, patience: float = engine.PATIENCE, **given: Any
    ) -> None:
        """Connect to the database; an embedded one is made, and knows the packs of the search path.

        Args:
            patience: seconds for which `start` goes on trying while the database does not answer.
            given: settings by name, instead of `settings`.
        Raises:
            UsageError: a setting makes no sense.
            DefinitionError: a pack of an embedded client is wrong.
            Unreachable: the database does not answer.
        """
        settings = settings or load_settings(**given)
        #: Tells workers what to look at.
        self.courier = Courier(settings)
        embedded = settings.resolved_database_url.startswith("sqlite:")
        service = Service.open(settings, migrate=embedded)
        if embedded:
            service.register()
        super().__init__(service, self.courier.tell, patience=patience)

    def close(self) -> None:
        """Give the connections back."""
        self.courier.close()
        super().close()


class AsyncClient(engine.AsyncClient):
    """The same as :class:`Client` for asyncio; takes the same arguments. Making one blocks for a moment."""

    client: Client

    def __init__(
        self, settings: Settings | None = None, *, patience: float = engine.PATIENCE, **given: Any
    ) -> None:
        """Connect to the database."""
        super().__init__(Client(settings, patience=patience, **given))


class Worker:
    """Serves tasks with threads of this process, from the database of a client: ``with Worker(client, threads=4): ...``."""

    def __init__(
        self,
        client: Client | AsyncClient,
        *,
        threads: int = 4,
        queues: Collection[str] | None = None,
        actors: Broker | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            threads: how many tasks run at once.
            queues: the task queues to serve; None: all.
            actors: the app's own broker, for actions of `runtime: dramatiq`; None: what the settings name.
        """
        self._client = client.client if isinstance(client, AsyncClient) else client
        self._threads = threads
        self._queues = queues
        self._actors = actors
        self._ending: ExitStack | None = None

    def start(self) -> None:
        """Start the threads, unless they run.

        Raises:
            Unreachable: the database or the broker does not answer.
        """
        if self._ending is not None:
            return
        settings = self._client.service.settings
        with ExitStack() as ending:
            broker = None
            if settings.broker_url is not None:
                broker = make_broker(settings)
                ending.callback(broker.close)
            host = self._client.service.host(in_process=broker is None, queues=self._queues)
            ending.callback(host.close)
            worker = InProcessWorker(host, self._threads, self._queues, broker=broker, actors=self._actors)
            ending.enter_context(worker)
            if broker is None:
                ending.enter_context(self._client.courier.telling(host.send))
            self._ending = ending.pop_all()

    def stop(self) -> None:
        """Take nothing new, let the actions that run end for a while, and end the threads."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
