"""An app with Dramatiq actors, for tests: it knows nothing of Dramaturg but one middleware.

``dramatiq shop_app`` runs its workers. What its actors do, they note in the file ``SHOP_NOTES``.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO

from dramaturg import DurableTasks

broker = RedisBroker(url=os.environ["SHOP_REDIS"])
broker.add_middleware(AsyncIO())
broker.add_middleware(DurableTasks())
dramatiq.set_broker(broker)


def note(*words: Any) -> None:
    """Append a line to the file of the test, whole whoever else writes."""
    with open(os.environ["SHOP_NOTES"], "ab", buffering=0) as file:
        file.write(" ".join(map(str, (*words, os.getpid()))).encode() + b"\n")


def times(word: str) -> int:
    """Return how often something was noted."""
    return sum(line.split()[0] == word for line in Path(os.environ["SHOP_NOTES"]).read_text().splitlines())


@dramatiq.actor(queue_name="shop")
def price(item: str, quantity: int = 1) -> dict[str, Any]:
    note("price")
    return {"item": item, "total": 3 * quantity}


@dramatiq.actor(queue_name="shop")
async def reserve(item: str) -> str:
    note("reserve")
    await asyncio.sleep(0.01)
    return f"{item} is reserved"


@dramatiq.actor(queue_name="shop", max_retries=20, min_backoff=10)
def charge(total: int) -> str:
    """Fail the first two times."""
    note("charge")
    if times("charge") < 3:
        raise ConnectionError("the bank does not answer")
    return f"{total} charged"


@dramatiq.actor(queue_name="post")
def ship(item: str) -> None:
    note("ship", item)


@dramatiq.actor(queue_name="post")
def mail(text: str) -> str:
    note("mail")
    return text.upper()


@dramatiq.actor(queue_name="shop", time_limit=300)
def hurry() -> None:
    note("hurry")
    _work(60)


@dramatiq.actor(queue_name="shop", notify_shutdown=True)
def inventory(seconds: float) -> str:
    """Take so long the first time; the second time it is quick."""
    note("inventory")
    if times("inventory") == 1:
        _work(seconds)
    note("counted")
    return "counted"


def _work(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
