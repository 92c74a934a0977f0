"""The curves of a run: training loss, and what was measured on held-out clips as it went on.

A generator's are errors by noise level and rollouts; a predictor's are how richly latents vary, the
skill of predictions and what can be read off.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from worldbench_models.card.plot import Line, Panel, draw
from worldbench_models.card.run import Finished

_POINTS = 200  # more than these are averaged in groups: a chart has no more pixels to show them
_BASELINES = {"copy": "a copy", "median": "each position's median", "still": "a still"}

_Named = tuple[str, tuple[str, ...]]  # a line's name, and where in a held-out line its value is


def curves(run: Finished) -> str:
    """Draws a run's curves as an SVG document."""
    loss = [(float(line["step"]), float(line["loss"])) for line in run.training]
    panels = [
        Panel(
            "Training loss",
            "step",
            "loss",
            (Line("training", _thinned(loss)),),
            logarithmic=True,
        )
    ]
    return draw([*panels, *_generators(run), *_predictors(run)])


def _generators(run: Finished) -> list[Panel]:
    panels = []
    denoising = [(line["step"], line["heldout"].get("denoising")) for line in run.heldout]
    by_level = [(step, errors) for step, errors in denoising if errors]
    if by_level:
        panels.append(_by_level(by_level))
    last = run.heldout[-1]["heldout"] if run.heldout else {}
    rollouts = [
        Line(name, tuple((frame + 1.0, float(y)) for frame, y in enumerate(last[key])))
        for key, name in (("rollout", run.name), ("copy_last", "copy_last"))
        if last.get(key)
    ]
    if rollouts:
        title = f"Held-out rollouts after step {run.heldout[-1]['step']:,}"
        panels.append(Panel(title, "future frame", "mean squared error", tuple(rollouts)))
    return panels


def _by_level(lines: Sequence[tuple[int, Mapping[str, Any]]]) -> Panel:
    levels = sorted({level for _, errors in lines for level in errors}, key=float)
    return Panel(
        "Held-out denoising error by noise level (1 is clean)",
        "step",
        "loss",
        tuple(
            Line(
                f"level {level}",
                _thinned(
                    [
                        (float(step), float(errors[level]))
                        for step, errors in lines
                        if level in errors
                    ]
                ),
            )
            for level in levels
        ),
        logarithmic=True,
    )


def _predictors(run: Finished) -> list[Panel]:
    contexts = {at for line in run.heldout for at in line["heldout"].get("skill", ())}
    skills: list[tuple[str, str, list[_Named]]] = [
        (
            f"Prediction skill against {told}, held-out",
            "skill",
            [(f"{at} frames seen", ("skill", at, name)) for at in sorted(contexts, key=int)],
        )
        for name, told in _BASELINES.items()
    ]
    probe: list[_Named] = [(what, ("ridge_r2", what)) for what in ("position", "velocity")]
    asked: list[tuple[str, str, list[_Named]]] = [
        ("RankMe of pooled latents, held-out", "RankMe", [(run.name, ("rank_me",))]),
        ("Std of a latent channel, held-out", "std", [(run.name, ("feature_std",))]),
        *skills,
        ("Online probe: read off by ridge regression, held-out", "R²", probe),
    ]
    return [
        Panel(title, "step", up, lines)
        for title, up, wanted in asked
        if (lines := _told(run, wanted))
    ]


def _told(run: Finished, asked: Sequence[_Named]) -> tuple[Line, ...]:
    """Returns, by name, what held-out lines say at a path, where any of them does."""
    lines = []
    for name, path in asked:
        found = [(float(line["step"]), _at(line["heldout"], path)) for line in run.heldout]
        points = [(step, value) for step, value in found if value is not None]
        if points:
            lines.append(Line(name, _thinned(points)))
    return tuple(lines)


def _at(found: Any, path: Sequence[str]) -> float | None:
    for name in path:
        if name not in found:
            return None
        found = found[name]
    return float(found)


def _thinned(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Averages neighbours until at most ``_POINTS`` are left."""
    size = -(-len(points) // _POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return tuple((fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups)
