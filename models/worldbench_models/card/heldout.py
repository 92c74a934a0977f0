"""Names for what a run's last held-out line says."""

from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = {"feature_std": "feature std", "rank_me": "RankMe"}
_BASELINES = {
    "mean": "the mean",
    "median": "each position's median",
    "copy": "a copy",
    "still": "a still",
}


def told(found: Mapping[str, Any]) -> dict[str, float]:
    """Returns every number of a held-out line by what it is called.

    Of curves over future frames, the first and the last frame.

    Args:
        found: What the line says, nested.
    """
    named = {}
    for path, value in _numbers(found):
        named[_named(path)] = value
    return named


def _numbers(found: Any, above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], float]]:
    if isinstance(found, Mapping):
        inner = [((*above, str(name)), value) for name, value in sorted(found.items(), key=_order)]
    elif isinstance(found, list):
        ends = {1: found[:1], len(found): found[-1:]}
        inner = [((*above, str(at)), end[0]) for at, end in ends.items() if end]
    elif isinstance(found, int | float) and not isinstance(found, bool):
        return [(above, float(found))]
    else:
        return []
    return [pair for path, value in inner for pair in _numbers(value, path)]


def _order(item: tuple[str, Any]) -> tuple[bool, float, str]:
    """Numbers come by size, then names."""
    try:
        return False, float(item[0]), ""
    except ValueError:
        return True, 0.0, str(item[0])


def _named(path: Sequence[str]) -> str:
    match path:
        case ["skill", context, baseline]:
            than = _BASELINES.get(baseline, baseline)
            return f"skill after {context} frames, against {than}"
        case ["ridge_r2", quantity]:
            return f"online probe, R² of {quantity}"
        case ["denoising", level]:
            return f"denoising error at level {level}"
        case ["rollout", frame]:
            return f"rollout error, future frame {frame}"
        case ["copy_last", frame]:
            return f"error of copy_last, future frame {frame}"
        case [name] if name in _PLAIN:
            return _PLAIN[name]
        case _:
            return ".".join(path)
