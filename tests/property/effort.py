"""How many examples a test looks at, in proportion to the others."""

from __future__ import annotations

from hypothesis import settings


def effort(share: float) -> settings:
    """Return settings for so many times the examples of the profile (see conftest.py)."""
    return settings(max_examples=max(1, int(share * settings.default.max_examples)))
