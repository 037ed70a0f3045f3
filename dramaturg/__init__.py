"""Dramaturg: durable workflows, written in YAML, for people who already run Dramatiq."""

from __future__ import annotations

__version__ = "0.1.0"
