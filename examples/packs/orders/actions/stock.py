"""What is on the shelves."""

from __future__ import annotations


class OutOfStock(Exception):
    """There is less on the shelf than was ordered."""


def reserve(article: str, amount: int, stock: dict[str, int]) -> dict[str, int]:
    """Take *amount* of an article; return what is left."""
    left = stock.get(article, 0) - amount
    if left < 0:
        raise OutOfStock(f"{amount} {article} ordered, {stock.get(article, 0)} there")
    return {"left": left}
