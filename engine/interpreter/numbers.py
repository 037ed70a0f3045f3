"""Numbers that a definition writes as a number, as text with a unit, or as a template (LANGUAGE 4).

Templates give JSON; these functions say what it means, or why it means nothing.
"""

from __future__ import annotations

import math

from dramaturg.engine.errors import JSON

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

#: Nothing waits longer than this (a hundred years): a bound that keeps due times within what databases can hold.
LONGEST = 100 * 366 * 86400.0
#: No count is higher: a database's whole numbers end there.
MOST = 2**31 - 1


def seconds(value: JSON, what: str, *, zero: bool = True) -> float:
    """Return a duration: seconds as a number, or "90s", "5m", "2h", "1d".

    Args:
        zero: whether 0 is one (a delay), or not (a timeout).
    Raises:
        ValueError: it is no duration; the message names `what`.
    """
    number = value
    if isinstance(value, str):
        text = value.strip()
        scale = _UNITS.get(text[-1:])
        number = _parsed(text[:-1] if scale else text)
        number = None if number is None else number * (scale or 1.0)
    if not _is_number(number) or not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(
            f'{what} must be seconds (a number {"from 0 up" if zero else "above 0"}) or text such as "90s", "5m", "2h", "1d", not {value!r}'
        )
    return min(float(number), LONGEST)


def whole(value: JSON, what: str, *, least: int = -MOST, most: int = MOST) -> int:
    """Return a whole number; text such as "3" and a float without a fraction count as one.

    Raises:
        ValueError: it is none, or not from `least` to `most`; the message names `what`.
    """
    number = _parsed(value) if isinstance(value, str) else value
    if not _is_number(number) or not math.isfinite(number) or number != int(number):
        raise ValueError(f"{what} must be a whole number, not {value!r}")
    if number < least:
        raise ValueError(f"{what} must be {least} or more, not {value!r}")
    if number > most:
        raise ValueError(f"{what} must be {most} or less, not {value!r}")
    return int(number)


def number(value: JSON, what: str, *, least: float = 0.0, most: float = math.inf) -> float:
    """Return a number between `least` and `most`.

    Raises:
        ValueError: it is none, or out of these bounds; the message names `what`.
    """
    found = _parsed(value) if isinstance(value, str) else value
    if not _is_number(found) or not math.isfinite(found) or not least <= found <= most:
        bounds = f"from {least:g} up" if most == math.inf else f"from {least:g} to {most:g}"
        raise ValueError(f"{what} must be a number {bounds}, not {value!r}")
    return float(found)


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parsed(text: str) -> JSON:
    try:
        return float(text)
    except ValueError:
        return None
