"""Makes the broker that the settings ask for; there is none at import time, and no global one.

A broker carries messages that hold only ids, and only our own middleware: no retries, delays, results, time limits
or age limits. What they are for, the engine does in the database, where nothing is lost.

An app that uses Dramatiq itself must not share queues with us: each would fetch messages that it has no actor for. On
Redis our keys have a namespace of their own; RabbitMQ needs a virtual host for Dramaturg (``amqp://host/dramaturg``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dramaturg.actors.embedded import EmbeddedBroker
from dramaturg.actors.outage import one_line
from dramaturg.actors.slots import NAMESPACE
from dramaturg.engine.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from dramatiq import Broker

    from dramaturg.actors.wake import WakingRedisBroker
    from dramaturg.engine.config import Settings

#: Seconds to wait for a broker to take a connection, and to answer.
CONNECT_TIMEOUT: Final = 2.0
ANSWER_TIMEOUT: Final = 5.0


def make_broker(settings: Settings) -> Broker:
    """Return the broker of the settings: in process, Redis or RabbitMQ; a server is asked whether it is there.

    Raises:
        Unreachable: it does not answer; one line that says what was tried, after a few seconds at most.
        UsageError: the URL makes no sense, or a package is missing.
    """
    url = settings.broker_url
    if url is None:
        return EmbeddedBroker()
    scheme = url.partition("://")[0]
    if scheme in ("redis", "rediss", "unix"):
        return _redis(url)
    if scheme in ("amqp", "amqps"):
        return _rabbitmq(url)
    raise _unknown(url)


def make_actors_broker(settings: Settings) -> Broker | None:
    """Return a broker that sends to the actors of the user's app, or None: the settings name none.

    It sends as any other process of that app would, and connects when it first does.

    Raises:
        UsageError: the URL makes no sense, or a package is missing.
    """
    url = settings.actors_broker_url or settings.broker_url
    if url is None:
        return None
    scheme = url.partition("://")[0]
    if scheme in ("redis", "rediss", "unix"):
        if settings.actors_namespace == NAMESPACE:
            raise UsageError(f"actors_namespace: {NAMESPACE} is what Dramaturg's own keys begin with")
        return _redis_broker(url, namespace=settings.actors_namespace, wakes=False)
    if settings.actors_broker_url is None:
        return None  # on RabbitMQ our queues are no app's
    if scheme in ("amqp", "amqps"):
        return _rabbitmq_broker(url)  # type: ignore[no-any-return]
    raise _unknown(url)


def shown(url: str) -> str:
    """Return a URL for people: without its password and query."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        user = f"{user.partition(':')[0]}:***"
    return urlunsplit(parts._replace(netloc=user + at + host, query="", fragment=""))


def _redis(url: str) -> Broker:
    broker = _redis_broker(url, namespace=NAMESPACE)
    from redis import RedisError

    try:
        broker.client.ping()
    except RedisError as error:
        broker.close()
        raise _unreachable(url, error) from error
    return broker


def _redis_broker(url: str, *, namespace: str, wakes: bool = True) -> WakingRedisBroker:
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        from dramaturg.actors.wake import WakingRedisBroker
    except ImportError as error:
        raise _missing(url, "redis", error) from None
    try:
        # One retry at once, for a pooled connection that died meanwhile; waiting is for the callers to decide.
        client = Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            retry=Retry(NoBackoff(), 1),
            client_name="dramaturg",
        )
    except ValueError as error:
        raise UsageError(f"broker {shown(url)}: {error}", hint="write redis://host:6379/0") from None
    return WakingRedisBroker(client, namespace=namespace, wakes=wakes)


def _rabbitmq(url: str) -> Broker:
    broker = _rabbitmq_broker(url)
    try:
        broker.connection  # noqa: B018 - connects
        del broker.connection
    except Exception as error:  # pika's have no common base
        raise _unreachable(url, _cause(error)) from error
    return broker  # type: ignore[no-any-return]


def _rabbitmq_broker(url: str) -> Any:
    try:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker
    except ImportError as error:
        raise _missing(url, "rabbitmq", error) from None
    try:
        # Without confirmation a message can be lost unnoticed, and a missing queue is not noticed either.
        return RabbitmqBroker(url=_with_timeouts(url), confirm_delivery=True, middleware=[])
    except (ValueError, TypeError) as error:
        raise UsageError(f"broker {shown(url)}: {error}", hint="write amqp://host:5672") from None


def _cause(error: BaseException) -> BaseException:
    """Return what pika's errors wrap: their own message is empty."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return getattr(error, "exception", error)


def _with_timeouts(url: str) -> str:
    """Return the URL with our timeouts, where it gives none."""
    parts = urlsplit(url)
    ours = {
        "socket_timeout": f"{CONNECT_TIMEOUT:g}",
        "stack_timeout": f"{ANSWER_TIMEOUT:g}",
        "connection_attempts": "1",
        "heartbeat": "60",
        "blocked_connection_timeout": "30",
    }
    return urlunsplit(parts._replace(query=urlencode({**ours, **dict(parse_qsl(parts.query))})))


def _unknown(url: str) -> UsageError:
    hint = "write redis://host:6379/0 or amqp://host:5672"
    return UsageError(f"broker {shown(url)}: unknown kind", hint=hint)


def _missing(url: str, extra: str, error: ImportError) -> UsageError:
    hint = f"pip install 'dramatiq[{extra}]'"
    return UsageError(f"broker {shown(url)} needs the package {error.name}", hint=hint)


def _unreachable(url: str, error: BaseException) -> Unreachable:
    return Unreachable(f"broker {shown(url)}: {one_line(error)}")
