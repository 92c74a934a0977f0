"""Options of data that is read from files, checked one by one."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from worldbench.data.source import ClipFormat
from worldbench.errors import UsageError, unknown_name
from worldbench.options import at_least


def clip_format(
    frames: int, fps: float | int, size: Sequence[int], clips_per_video: int | None = None
) -> ClipFormat:
    """Returns the format of clips.

    Raises:
        UsageError: If there are no such clips.
    """
    whole = all(isinstance(number, int) for number in (frames, *size))
    if not whole or not 0 < fps < math.inf or frames < 2 or len(size) != 2 or min(size) < 1:
        raise UsageError(
            "clips of this format do not exist",
            seen=f"frames={frames}, fps={fps}, size={list(size)}",
            accepted="frames ≥ 2, fps > 0, size=[height,width] in pixels",
            fix="data.frames=16 data.fps=15 data.size=[128,128]",
        )
    count = some_or_all("clips_per_video", clips_per_video)
    return ClipFormat(frames, float(fps), (size[0], size[1]), count)


def some_or_all(option: str, count: object) -> int | None:
    """Returns how many things an option keeps; None for all.

    Raises:
        UsageError: If it keeps none, or is no integer.
    """
    return None if count is None else at_least(f"data.{option}", count, 1, beside="null for all")


def share_excluded(share: object) -> float:
    """Returns the largest share of unusable files that a run accepts, in [0, 1].

    Raises:
        UsageError: If it is no such share.
    """
    if isinstance(share, bool) or not isinstance(share, float | int) or not 0 <= share <= 1:
        raise UsageError(
            "data.max_excluded is no share",
            seen=share,
            accepted="a number from 0 to 1",
            fix="data.max_excluded=0.05",
        )
    return float(share)


def training_options(usual: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a training split: those of the data itself but for those given.

    Raises:
        UsageError: If one is given that there is not.
    """
    if unknown := sorted(set(given) - set(usual)):
        raise unknown_name("option of data.train", unknown[0], usual, fix="correct it")
    return {**usual, **given}


def source_pattern(cluster: str | None) -> re.Pattern[str] | None:
    """Compiles what tells the source of a video from its id.

    Raises:
        UsageError: If it is no regular expression.
    """
    try:
        return re.compile(cluster) if cluster is not None else None
    except re.error as error:
        raise UsageError(
            f"data.cluster is no regular expression: {error}",
            seen=cluster,
            accepted="a Python regular expression whose first group names the source of a video",
            fix="data.cluster='(.*)_c\\d+$', or null for one cluster per video",
        ) from error
