"""Which broker the settings give, and what is said when they give none."""

from __future__ import annotations

import builtins
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from dramaturg.actors.broker import _with_timeouts, make_actors_broker, make_broker, shown
from dramaturg.actors.embedded import EmbeddedBroker
from dramaturg.engine.config import Settings
from dramaturg.engine.errors import Unreachable, UsageError


def settings(url: str | None) -> Settings:
    return Settings(broker_url=url)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_no_url_is_in_process_each_time_a_new_one() -> None:
    first, second = make_broker(settings(None)), make_broker(settings(None))
    assert isinstance(first, EmbeddedBroker)
    assert first is not second


def test_a_redis_that_is_not_there_is_said_in_one_line_without_the_password(closed_port: int) -> None:
    with pytest.raises(Unreachable) as caught:
        make_broker(settings(f"redis://kim:secret@127.0.0.1:{closed_port}/3"))
    message = str(caught.value)
    assert message.startswith(f"broker redis://kim:***@127.0.0.1:{closed_port}/3: ")
    assert "refused" in message
    assert "secret" not in message
    assert "\n" not in message


def test_a_redis_that_does_not_answer_is_given_up(deaf_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dramaturg.actors.broker.ANSWER_TIMEOUT", 0.1)
    with pytest.raises(Unreachable, match=f"broker redis://127.0.0.1:{deaf_port}: "):
        make_broker(settings(f"redis://127.0.0.1:{deaf_port}"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kafka://here", "broker kafka://here: unknown kind"),
        ("localhost:6379", "broker localhost:6379: unknown kind"),
        ("redis://host:port/0", "broker redis://host:port/0: "),
    ],
)
def test_a_url_that_makes_no_sense(url: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_broker(settings(url))
    assert str(caught.value).startswith(message)
    assert "redis://" in caught.value.hint


@pytest.mark.parametrize(("url", "package"), [("redis://h", "redis"), ("amqp://h", "pika")])
def test_a_missing_package_is_named_with_what_to_install(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=f"broker {url} needs the package {package}") as caught:
        make_broker(settings(url))
    assert caught.value.hint.startswith("pip install ")


@pytest.mark.parametrize(
    ("url", "for_people"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:pw@h:1/0?a=b", "redis://:***@h:1/0"),
        ("amqp://kim@h", "amqp://kim@h"),
        ("amqp://kim:p@h/vhost", "amqp://kim:***@h/vhost"),
    ],
)
def test_a_url_for_people_has_no_password(url: str, for_people: str) -> None:
    assert shown(url) == for_people


def test_timeouts_of_the_url_win_over_ours() -> None:
    both = _with_timeouts("amqp://h/v?heartbeat=5")
    assert both.startswith("amqp://h/v?socket_timeout=2&")
    assert "&heartbeat=5&" in both
    assert "heartbeat=60" not in both
    assert "connection_attempts=1" in both


def test_importing_the_actors_makes_no_global_broker() -> None:
    code = (
        "import dramaturg.actors.worker, dramatiq.broker, sys;"
        "assert dramatiq.broker.global_broker is None;"
        "assert 'redis' not in sys.modules, 'redis is an extra'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def rabbitmq(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put a stand-in for Dramatiq's RabbitMQ broker in place; notes how it is made."""
    noted: dict[str, Any] = {}

    class Stock:
        def __init__(self, **options: Any) -> None:
            noted.update(options)

        @property
        def connection(self) -> object:
            if "error" in noted:
                raise noted["error"]
            noted["connected"] = True
            return object()

        @connection.deleter
        def connection(self) -> None:
            noted["connected"] = False

    module: Any = ModuleType("dramatiq.brokers.rabbitmq")
    module.RabbitmqBroker = Stock
    monkeypatch.setitem(sys.modules, "dramatiq.brokers.rabbitmq", module)
    return noted


def test_rabbitmq_confirms_what_it_takes_and_has_no_middleware(rabbitmq: dict[str, Any]) -> None:
    make_broker(settings("amqp://h/v"))
    assert (rabbitmq["confirm_delivery"], rabbitmq["middleware"]) == (True, [])
    assert rabbitmq["url"].startswith("amqp://h/v?")
    # It was asked whether it is there, and the connection was given back.
    assert rabbitmq["connected"] is False


def test_a_rabbitmq_that_is_not_there_is_said_with_its_cause(rabbitmq: dict[str, Any]) -> None:
    class Connector(Exception):
        exception = ConnectionRefusedError(111, "Connection refused")

    rabbitmq["error"] = RuntimeError(Connector())
    with pytest.raises(Unreachable, match=r"^broker amqp://h/v: \[Errno 111\] Connection refused$"):
        make_broker(settings("amqp://h/v"))


@pytest.mark.parametrize(
    ("given", "url", "namespace"),
    [
        ({"broker_url": "redis://h:1/2"}, "h:1/2", "dramatiq"),
        ({"broker_url": "redis://h:1/2", "actors_namespace": "shop"}, "h:1/2", "shop"),
        ({"broker_url": "redis://h:1/2", "actors_broker_url": "redis://other:3/4"}, "other:3/4", "dramatiq"),
        ({"actors_broker_url": "redis://other:3/4"}, "other:3/4", "dramatiq"),
    ],
)
def test_the_broker_of_actors_is_that_of_dramatiqs_apps_on_the_same_redis_or_another(
    given: dict[str, Any], url: str, namespace: str
) -> None:
    broker: Any = make_actors_broker(Settings(**given))
    place = broker.client.connection_pool.connection_kwargs
    assert f"{place['host']}:{place['port']}/{place['db']}" == url
    assert broker.namespace == namespace
    broker.close()


@pytest.mark.parametrize("given", [{}, {"broker_url": "amqp://h/dramaturg"}])
def test_without_a_redis_the_broker_of_actors_has_to_be_named(given: dict[str, Any]) -> None:
    assert make_actors_broker(Settings(**given)) is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"actors_broker_url": "ftp://h"}, "broker ftp://h: unknown kind"),
        ({"broker_url": "redis://h", "actors_namespace": "dramaturg"}, "Dramaturg's own keys"),
    ],
)
def test_a_broker_of_actors_that_makes_no_sense_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        make_actors_broker(Settings(**given))
