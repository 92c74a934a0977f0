"""What figures and page say of quads and answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worldbench.schema import Trial

OUTCOMES = {
    1.0: ("1", "right"),
    0.5: ("½", "tie"),
    0.0: ("0", "wrong"),
}
"""Of a pair score: how it is written, and the word for it."""


@dataclass(frozen=True)
class ClipWords:
    """What one clip of a quad shows.

    Attributes:
        name: ``A``, ``P``, ``I1`` or ``I2``.
        kind: ``possible`` or ``impossible``.
        shows: What happens in it, in a few words.
    """

    name: str
    kind: str
    shows: str


_SHOWS = {
    "presence": (
        "goes behind, comes out",
        "leaves in plain sight",
        "goes behind, is gone",
        "left, yet comes out",
    ),
    "never_there": (
        "goes behind, comes out",
        "nothing there",
        "goes behind, is gone",
        "comes out of nowhere",
    ),
}


_IN_SIGHT = ("passes in sight", "leaves in sight", "passes, is gone", "left, yet is there")


def clip_words(trial: Trial) -> tuple[ClipWords, ...]:
    """Returns what A, P, I1 and I2 of a quad show."""
    violation, condition = str(trial.factors["violation"]), str(trial.factors["condition"])
    partner = "its partner" if violation in _SHOWS else f"another {violation}"
    shows = ("the scene", partner, "begins as A, ends as P", "begins as P, ends as A")
    if condition == "occluded":
        shows = _SHOWS.get(violation, shows)
    elif condition == "visible" and violation == "presence":
        shows = _IN_SIGHT
    spliced = "possible" if condition == "both_possible" else "impossible"
    kinds = ("possible", "possible", spliced, spliced)
    names = ("A", "P", "I1", "I2")
    return tuple(ClipWords(*each) for each in zip(names, kinds, shows, strict=True))


def context_words(trial: Trial) -> tuple[str, str]:
    """Returns what the contexts of A and of P have shown, for headings."""
    second = "the target was never there"
    if trial.factors["violation"] == "presence":
        second = "the target left in plain sight"
    return "After A's context: the target went behind the occluder", f"After P's context: {second}"


def how(trial: Trial) -> str:
    """Returns how to read the figure of the four clips."""
    made = {
        "visible": "A and P really happened; nothing hides the target. I1 and I2 are made of the "
        "same frames, swapped at the dashed line in plain sight: a control that cannot be missed.",
        "both_possible": "A and P really happened; they are pixel-identical where the green bar "
        "stands. I1 and I2 are made of the same frames, swapped there, and are possible as well: a "
        "control, in which neither pair should surprise more.",
    }.get(
        str(trial.factors["condition"]),
        "A and P really happened; they are pixel-identical where the green bar stands. I1 and I2 "
        "are made of the same frames, swapped there, so that each contradicts what it has shown.",
    )
    return (
        f"{made} Rings mark the target. A curve tells how little was expected what came, per "
        "latent step, under its frames. The outcome is 1 if I1 and I2 together surprise more than "
        "A and P together, ½ on a tie, else 0."
    )


def true_words(trial: Trial) -> tuple[str, str]:
    """Returns what truly comes after A's and after P's context."""
    gone = "it stays away" if trial.factors["violation"] == "presence" else "nothing comes out"
    return "it comes out", gone


def scene(trial: Trial) -> str:
    """Returns what kind of quad it is and what makes its scene hard, on one line."""
    told = trial.factors
    kind = f"{told['violation']}, {told['condition']}".replace("_", " ")
    parts = [kind, f"tier {told['tier']}"]
    if "hidden" in told:
        parts.append(f"hidden for {told['hidden']} frames")
    names = ("shape", "colour", "motion", "camera")
    parts += [f"{name} {told[name]}" for name in names if name in told]
    for name, one in (("occluders", "occluder"), ("distractors", "distractor")):
        if name in told:
            parts.append(f"{told[name]} {one if told[name] == 1 else name}")
    if told.get("lookalike") is True and told.get("distractors") != 0:
        parts.append("look-alikes")
    if told.get("distribution") == "out":
        parts.append("unseen attributes")
    return " · ".join(parts)


def read_words(reading: Mapping[str, Any]) -> str:
    """Returns what a read-out says of an adapter's futures, on one line."""
    right, phantom = reading["model.zone"], reading["model.phantom"]
    ceiling = OUTCOMES.get(reading["ceiling.zone"], ("", "of samples"))[1]
    parts = [
        f"zone {share(right)}",
        f"comes out after A: {yes(reading['model.emerged'])}",
        f"phantom after P: {yes(phantom)}",
        f"zone of the real future: {ceiling}",
    ]
    return " · ".join(parts)


def share(value: float) -> str:
    """Returns an outcome with its word, or the mean of several as a number."""
    if value in OUTCOMES:
        return " ".join(OUTCOMES[value])
    return f"{value:.2f}"


def zone(value: float) -> str:
    """Returns whether more is on the exit's side; of several rollouts, the mean."""
    words = {1.0: "more than after P", 0.5: "as much as after P", 0.0: "less than after P"}
    return words.get(value, f"more than after P {value:.0%}")


def yes(value: float) -> str:
    """Returns yes or no, or the share of several rollouts."""
    return {0.0: "no", 1.0: "yes"}.get(value, f"{value:.0%} of rollouts")
