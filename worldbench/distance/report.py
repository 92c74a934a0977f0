"""An outcome as people and as programs read it."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from worldbench import __version__
from worldbench.distance.folders import FolderClips
from worldbench.distance.measure import Distances, Outcome
from worldbench.metrics.temporal import ratio


def as_json(outcome: Outcome) -> str:
    """Returns everything as one JSON object with sorted keys."""
    preset = outcome.preset
    content = {
        "worldbench": __version__,
        "card": {
            **asdict(outcome.card),
            "label": outcome.card.label,
            "digest": outcome.card.digest,
        },
        "preset": None if preset is None else {"name": preset.name, "source": preset.source},
        "cut": asdict(outcome.real.cut),
        "real": _side(outcome.real),
        "fake": _side(outcome.fake),
        "distances": _distances(outcome.distances),
        "classes": {name: _distances(found) for name, found in outcome.classes.items()},
        "curve": [asdict(point) for point in outcome.curve],
        "temporal": [{**asdict(c), "ratio": ratio(c)} for c in outcome.temporal],
        "warnings": list(outcome.warnings),
    }
    return json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)


def _side(side: FolderClips) -> dict[str, Any]:
    return {
        "folder": str(side.root),
        "digest": side.manifest.digest,
        "videos": len(side.manifest.entries),
        "clips": len(side.clips),
        "excluded": [asdict(item) for item in side.manifest.excluded],
    }


def _distances(found: Distances) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if value is not None}


def as_text(outcome: Outcome) -> str:
    """Returns the outcome as lines for a terminal."""
    label = outcome.card.label
    lines = list(_lines(outcome.distances, label))
    for name, found in outcome.classes.items():
        lines += ["", f"class {name}", *_lines(found, label)]
    if outcome.curve:
        lines += ["", *_curve(outcome)]
    if outcome.temporal:
        lines += ["", *_temporal(outcome)]
    lines += ["", *_origin(outcome)]
    lines += [f"warning: {warning}" for warning in outcome.warnings]
    return "\n".join(lines)


def _lines(found: Distances, label: str) -> Iterator[str]:
    if found.frechet is not None:
        report = found.frechet
        yield _line(f"frechet[{label}]", report.value, f"n = {report.n} against {report.m}")
        if report.infinity is None:
            yield f"{f'frechet_inf[{label}]':<40} undefined: {report.reason}"
        else:
            said = _interval(report.standard_error, report.low, report.high, report.reason)
            yield _line(f"frechet_inf[{label}]", report.infinity, said)
        if report.noise_floor is not None:
            yield _line(
                "noise floor", report.noise_floor, f"FD of real halves, n = {report.m // 2}"
            )
        yield f"{'rank':<40} {report.rank} of {report.dim} features"
    if found.kernel is not None:
        kernel = found.kernel
        value = kernel.value if kernel.between_clusters is None else kernel.between_clusters
        said = _interval(kernel.standard_error, kernel.low, kernel.high, kernel.reason)
        yield _line(f"kernel[{label}]", value, said)
    if found.jedi is not None:
        jedi = found.jedi
        yield _line(f"jedi[{label}]", jedi.value, f"biased, n = {jedi.n} against {jedi.m}")
        if jedi.unbiased is not None:
            said = _interval(jedi.standard_error, jedi.low, jedi.high, jedi.reason)
            yield _line(f"jedi_unbiased[{label}]", jedi.unbiased, said)


def _line(name: str, value: float, said: str) -> str:
    return f"{name:<40} {value:>12.6g}  {said}"


def _interval(
    error: float | None, low: float | None, high: float | None, reason: str | None
) -> str:
    if error is None or low is None or high is None:
        return f"no interval: {reason}"
    return f"± {error:.3g}   95 % [{low:.4g}, {high:.4g}]"


def _curve(outcome: Outcome) -> Iterator[str]:
    yield f"{'n':>8} {'frechet':>12} {'real halves':>12} {'kernel':>12}"
    for point in outcome.curve:
        floor = "" if point.floor is None else f"{point.floor:.5g}"
        yield f"{point.n:>8} {point.frechet:>12.5g} {floor:>12} {point.kernel:>12.4g}"


def _temporal(outcome: Outcome) -> Iterator[str]:
    for found in outcome.temporal:
        said = _interval(found.standard_error, found.low, found.high, found.reason)
        yield (
            f"{found.name:<14} fake {found.rollouts:.4g}, real {found.real:.4g}, "
            f"difference {found.difference:+.4g} {said} ({found.unit})"
        )


def _origin(outcome: Outcome) -> Iterator[str]:
    card, preset = outcome.card, outcome.preset
    yield f"card     {card.label} {card.digest[:12]}: {card.source}"
    yield f"         {card.preprocessing}"
    if preset is not None:
        divisor = f"; covariances over n - {preset.ddof}" if preset.distance == "frechet" else ""
        yield f"preset   {preset.name}: after {preset.source}{divisor}"
    for name, side in (("real", outcome.real), ("fake", outcome.fake)):
        videos, digest = len(side.manifest.entries), side.manifest.digest[:12]
        yield f"{name:<8} {len(side.clips)} clips of {videos} videos in {side.root}, {digest}"
