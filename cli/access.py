"""The engine as the commands reach it: settings, service and workers, each imported when it is first used.

`dramaturg --help` must not pay for the database layer, so no command module imports the engine's heavy parts at its
top. Tests put another `Access` in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dramaturg.engine.errors import NotFound

if TYPE_CHECKING:
    from dramaturg.engine.config import Settings
    from dramaturg.engine.service import Service, StartedRun


#: Tasks that a worker does at once unless it is told otherwise.
THREADS = 8
#: Seconds that tasks get to end when `run` stops before its run has ended.
PATIENCE = 1.0


class Access:
    """How one invocation of the command line reaches the engine."""

    def __init__(self, **given: Any) -> None:
        """Remember the settings that were given on the command line; None is not given."""
        self._given = {name: value for name, value in given.items() if value is not None}

    @cached_property
    def settings(self) -> Settings:
        """Return the settings: command line over environment over dramaturg.toml over defaults."""
        from dramaturg.engine.config import load_settings

        return load_settings(**self._given)

    @property
    def embedded(self) -> bool:
        """Return whether there is no broker: `run` then serves its run by itself."""
        return self.settings.broker_url is None

    @property
    def registers(self) -> bool:
        """Return whether starting a run registers the packs on the pack path: embedded, there is no deployment.

        On a server what a ref means is moved by `dramaturg pack register` alone, not by whoever starts a run.
        """
        return self.embedded or self.settings.resolved_database_url.startswith("sqlite:")

    @property
    def database(self) -> str:
        """Return the database's address for people: without the password."""
        return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", self.settings.resolved_database_url)

    @property
    def missing_file(self) -> Path | None:
        """Return the embedded database's file if it does not exist yet, else None."""
        url = self.settings.resolved_database_url
        path = Path(url.removeprefix("sqlite:///"))
        return path if url.startswith("sqlite:///") and not path.exists() else None

    @contextmanager
    def service(self, *, create: bool = False) -> Iterator[Service]:
        """Give the service, closed at the end.

        Args:
            create: an embedded database that does not exist is made. Commands that only look leave no file behind.
        Raises:
            NotFound: there is no database yet, and `create` is false.
            Unreachable: the database does not answer.
        """
        if not create and self.missing_file is not None:
            raise NotFound(
                f"there is no database at {self.missing_file} yet",
                hint="`dramaturg run` makes it; DRAMATURG_DATABASE_URL names another one",
            )
        from dramaturg.engine.service import Service

        service = Service.open(self.settings)
        try:
            yield service
        finally:
            service.close()

    def upgrade(self) -> tuple[str | None, str]:
        """Bring the tables up to date; return the revision before (None: an empty database) and after."""
        from dramaturg.engine.service import Service

        return Service.upgrade(self.settings)

    def revisions(self) -> tuple[str | None, str]:
        """Return the revision of the tables as they are (None: an empty database), and the one that is wanted."""
        from dramaturg.engine.service import Service

        return Service.revisions(self.settings)

    @contextmanager
    def serving(self, service: Service, started: StartedRun) -> Iterator[None]:
        """Have a run served as long as the context lasts: by this process, or with a broker by workers elsewhere.

        When it ends before the run, what still runs is handed back after a moment: the run stands as it is.
        """
        if not self.embedded:
            self.tell_workers(started.key)
            yield
            return
        from dramaturg.actors.worker import InProcessWorker

        host = service.host(in_process=True, root=started.key)
        worker = InProcessWorker(host, THREADS)
        worker.start()
        try:
            yield
        finally:
            worker.stop(PATIENCE)
            host.close()

    def require_broker(self) -> None:
        """Make sure that a broker, where there is one, answers.

        Raises:
            Unreachable: it does not.
        """
        if not self.embedded:
            from dramaturg.actors.broker import make_broker

            make_broker(self.settings).close()

    def tell_workers(self, run: int) -> None:
        """Let one worker look at a run (by its key) now, where there is a broker; without this some clock finds it."""
        if self.embedded:
            return
        from dramaturg.actors.courier import Courier

        courier = Courier(self.settings)
        courier.tell(run)
        courier.close()

    def work(self, *, queues: Sequence[str], processes: int, threads: int) -> int:
        """Serve tasks until told to stop; return the exit code."""
        from dramaturg.actors.worker import run_worker

        return run_worker(self.settings, queues=queues, processes=processes, threads=threads)
