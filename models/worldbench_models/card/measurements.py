"""What gates were measured from, as sections of a card."""

from collections.abc import Mapping
from typing import Any

from worldbench_models.card.markdown import listed, table

_PRESENCE = (
    "Quads in which both impossible clips together surprise more than both possible, ties ½. Of "
    "the twin, a network with random weights, ½ is expected with the target occluded, by "
    "construction of the quads. In plain sight it is not: there the change between frames alone "
    "tells the clips apart, so the twin's visible row may lie anywhere."
)
_BASELINES = {
    "mean": "the one mean of all latents",
    "median": "the median of each position and channel",
    "copy": "the last context step's latents",
    "still": "the latents of a future in which the last context frame stands still",
}
_READ = ("model", "twin", "mean pixels")  # from what is read, in this order


def measurements(measured: Mapping[str, Any]) -> list[str]:
    """Returns a section for each thing measured.

    Args:
        measured: Of :class:`worldbench_models.gates.report.Report`.
    """
    sections = (
        ("forecast", _forecast),
        ("foresight", _foresight),
        ("features", _features),
        ("presence", _presence),
    )
    told = [section(measured[key]) for key, section in sections if key in measured]
    parts = [part for section in told for part in section]
    return parts or ["Nothing was measured."]


def _forecast(found: Mapping[str, Any]) -> list[str]:
    ratio, error, energy = found["to_linear_flow"], found["error"], found["energy"]
    rows = [
        (
            f"+{frame + 1}",
            f"{ratio['value'][frame]:.3f} [{ratio['low'][frame]:.3f}, {ratio['high'][frame]:.3f}]",
            f"{found['to_copy_last']['value'][frame]:.3f}",
            *(f"{error[who][frame]:.5f}" for who in ("model", "linear_flow", "copy_last")),
            *(f"{energy[who][frame]:.3f}" for who in ("model", "linear_flow", "copy_last")),
        )
        for frame in range(len(ratio["value"]))
    ]
    head = (
        *("frame", "error / linear_flow [95 %]", "error / copy_last"),
        *("error", "of linear_flow", "of copy_last"),
        *("energy score", "of linear_flow", "of copy_last"),
    )
    said = (
        f"{found['clips']} clips with a still camera and moving objects (of {found['drawn']} "
        f"drawn), {found['samples']} samples each. Error: mean squared error of the mean of the "
        "samples over the pixels that differ from the last context frame. Energy score "
        "(Gneiting & Raftery 2007): over whole frames, lower is better."
    )
    return ["### Forecasts", said, table(head, rows)]


def _foresight(found: Mapping[str, Any]) -> list[str]:
    contexts = sorted({at for by in found["skill"].values() for at in by}, key=int)
    rows = [
        (told, *(_skill(found["skill"][baseline][at]) for at in contexts))
        for baseline, told in _BASELINES.items()
        if baseline in found["skill"]
    ]
    said = (
        f"{found['clips']} clips; the mean and the median were fitted to {found['fit']} others. "
        "Skill: 1 − L1 of the predicted latents of all frames to come over that of a baseline that "
        "needs no foresight, 0 where it is no better and 1 if perfect; in brackets the bootstrap "
        "interval over clips, 95 %. What came is encoded by itself, without the context."
    )
    if found["illegal"]:
        said += f" No context of {', '.join(map(str, found['illegal']))} frames is taken."
    head = ("skill against", *(f"context of {at} frames [95 %]" for at in contexts))
    return ["### Foresight", said, table(head, rows)]


def _skill(one: Mapping[str, float] | None) -> str:
    if one is None:
        return "– (the baseline makes no error)"
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _features(found: Mapping[str, Any]) -> list[str]:
    pooled = [
        (who, f"{one['rank']:.1f}", f"{one['spread']:.3f}", str(one["clips"]))
        for who, one in found["pooled"].items()
    ]
    readouts = [
        (
            *(quantity, who, f"{one['r2']:.3f}"),
            *(f"{r2:.3f}" for r2 in one["columns"]),
            one["layer"] or "–",
            ", ".join(f"{penalty:.3g}" for penalty in one["penalty"]),
        )
        for quantity, by in found["readouts"].items()
        for who, one in ((who, by[who]) for who in _READ if who in by)
    ]
    directions = (
        "Latents of whole clips, averaged over their tokens. RankMe (Garrido et al. 2023): the "
        "exponential of the entropy of the centred singular values, the effective number of "
        "directions in which clips differ. Spread: the standard deviation of a channel, mean over "
        "channels."
    )
    read = (
        "R² of one moving object's position and velocity in the picture, by ridge regression on "
        f"the mean of a latent step's tokens, on a third of {found['motion_clips']} clips. Layer "
        "and λ were chosen on a fold of the rest. The twin is the same network with random "
        "weights; mean pixels are the mean of a step's patches."
    )
    return [
        "### Directions of pooled latents",
        directions,
        table(("who", "RankMe", "spread", "clips"), pooled),
        "### Read off the latents",
        read,
        table(("what", "from", "R²", "x", "y", "layer", "λ of x, y"), readouts),
    ]


def _presence(found: Mapping[str, Any]) -> list[str]:
    every = [(who, at, one) for who, by in found.items() for at, one in by.items()]
    head = ["who", "condition", "accuracy", "n", "ties", "skipped"]
    rows = [[who, at, *_accuracy(one)] for who, at, one in every]
    if any(one["levels"] for _, _, one in every):
        head.append("by noise level alone")
        for row, (_, _, one) in zip(rows, every, strict=True):
            row.append(_by_level(one["levels"] or {}))
    return ["### Presence", _PRESENCE, table(head, rows)]


def _accuracy(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    value, error = one["value"], one["standard_error"]
    said = "none scored" if value is None else f"{value:.3f}"
    said += "" if error is None else f" ± {error:.3f}"
    return (
        said,
        str(one["n"]),
        "–" if one["ties"] is None else str(one["ties"]),
        str(one["skipped"]),
    )


def _by_level(levels: Mapping[str, float]) -> str:
    return listed({level: f"{value:.3f}" for level, value in levels.items()}) or "–"
