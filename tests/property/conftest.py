"""How long the property tests look: a bounded, repeatable search in CI, a long one on demand.

`HYPOTHESIS_PROFILE=deep` looks for long, with another seed each time; `DEEP_EXAMPLES` says for how many examples
(20,000 for each test by default).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")

#: Workflows are large examples, and the machine may be slow: neither is a fault of a test.
PATIENT = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

#: What an example says itself is explanation enough.
PHASES = [Phase.explicit, Phase.generate, Phase.shrink]

COMMON = settings(
    deadline=None, database=None, suppress_health_check=PATIENT, phases=PHASES, report_multiple_bugs=False
)
settings.register_profile("ci", COMMON, derandomize=True, max_examples=100)
settings.register_profile("deep", COMMON, max_examples=int(os.environ.get("DEEP_EXAMPLES", "20000")))
settings.load_profile(PROFILE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A deep search takes as long as it takes."""
    for item in items:
        if PROFILE == "deep" and item.path.parent.name == "property":
            item.add_marker(pytest.mark.timeout(0))
