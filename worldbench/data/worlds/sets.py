"""The named sets: which scenes, how many, from which seeds.

``*_quick`` sets and ``worlds`` serve everyday runs, the demo and CI; ``*_full`` sets are for
results that are published.
"""

from typing import Any

from worldbench.data.worlds.content import SetPlan
from worldbench.data.worlds.plans import LabelledPlan, MixturePlan
from worldbench.data.worlds.quad_plans import HEADLINE_PIECES, QUADS, QuadPlan


def _presence(steady: int, braking: int, rebound: int, drop: int) -> dict[str, int]:
    numbers = {"steady": steady, "braking": braking, "rebound": rebound, "drop": drop}
    return {f"presence ({kind})": number for kind, number in numbers.items()}


# Mostly rebounds: of them some blurred bags are wrong as often as they are right of the others.
_PRESENCE = _presence(2, 3, 14, 5)
_PRESENCE_FULL = _presence(15, 15, 92, 28)
_OTHERS = ("never_there", "shape", "colour", "speed", "count")
_LONG: dict[str, Any] = {"frames": 24, "fps": 12.0}
"""The same two seconds as other sets in finer steps: what is hidden stays so for 5 to 16 frames,
longer than models of 16-frame windows remember beside a future."""

_VIEWS = ("static_orbit", "dolly", "truck")
_PIECES = tuple(kind for kind in QUADS if QUADS[kind][0] == "hidden_piece")

_LABELS = {
    "motion": "what happened: 16 classes that a single frame does not tell apart",
    "appearance": "what is there: 16 classes of colour and shape",
    "combined": "what is there and what happened: 16 classes of shape and motion",
}


def _labelled(label: str, suffix: str, train: int, test: int) -> LabelledPlan:
    return LabelledPlan(
        f"worlds_{label}{suffix}",
        f"{_LABELS[label]} ({16 * train} train, {16 * test} test)",
        label,
        dict(zip(("train", "test"), (train, test), strict=True)),
    )


_PLANS: tuple[SetPlan, ...] = (
    MixturePlan(
        "worlds",
        "the broad mixture, for distances between sets of videos (256 train, 512 test)",
        "train_random",
        {"train": 256, "test": 512},
    ),
    QuadPlan(
        "permanence_quick",
        "24 presence quads and 4 of each other kind, with their controls; 48 to fit read-outs on",
        {**_PRESENCE, **dict.fromkeys(_OTHERS, 4), "both_possible": 6},
        training={kind: 2 * count for kind, count in _PRESENCE.items()},
        pool=_presence(24, 30, 120, 40),
        tolerance=1.0,
        **_LONG,
    ),
    QuadPlan(
        "permanence_full",
        "150 quads of each violation, with their controls; 150 to fit read-outs on",
        {**_PRESENCE_FULL, **dict.fromkeys(_OTHERS, 150), "both_possible": 50},
        training=_PRESENCE_FULL,
        pool=_presence(80, 80, 400, 160),
        tolerance=6.0,
        **_LONG,
    ),
    QuadPlan(
        "consistency3d_quick",
        "24 headline rigidity quads, 15 others, with controls; 24 views, 48 to fit read-outs on",
        {kind: 8 if kind in HEADLINE_PIECES else 3 for kind in _PIECES},
        dict.fromkeys(_VIEWS, 8),
        training_views=dict.fromkeys(_VIEWS, 16),
        pool=dict.fromkeys(HEADLINE_PIECES, 60),
        tolerance=1.0,
    ),
    QuadPlan(
        "consistency3d_full",
        "150 headline rigidity quads, 375 others, with controls; "
        "150 views, 150 to fit read-outs on",
        {kind: 50 if kind in HEADLINE_PIECES else 75 for kind in _PIECES},
        dict.fromkeys(_VIEWS, 50),
        training_views=dict.fromkeys(_VIEWS, 50),
        pool=dict.fromkeys(HEADLINE_PIECES, 180),
        tolerance=4.0,
    ),
    *(_labelled(label, "_quick", 6, 3) for label in _LABELS),
    *(_labelled(label, "", 40, 20) for label in _LABELS),
)

SETS: dict[str, SetPlan] = {plan.name: plan for plan in _PLANS}
"""Every set by name."""
