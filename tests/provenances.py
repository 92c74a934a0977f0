"""What records of tests say of their making."""

from typing import Any

from worldbench.schema import Provenance


def provenance(**changes: Any) -> Provenance:
    given = {
        "command": "worldbench run",
        "config": {},
        "started": "2024-01-01T00:00:00Z",
        "seconds": 1.0,
        "worldbench": "0.1.0",
        "commit": None,
        "dirty": None,
        "packages": {},
        "python": "3.12",
        "platform": "linux",
        "device": "cpu",
        "peak_memory_mib": 100.0,
    }
    return Provenance(**(given | changes))
