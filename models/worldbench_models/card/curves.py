"""The curves of a run: training loss, held-out errors by noise level, held-out rollouts."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from worldbench_models.card.plot import Line, Panel, draw
from worldbench_models.card.run import Run

_POINTS = 200  # more than these are averaged in groups: a chart has no more pixels to show them


def curves(run: Run) -> str:
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
    return draw(panels)


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


def _thinned(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Averages neighbours until at most ``_POINTS`` are left."""
    size = -(-len(points) // _POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return tuple((fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups)
