"""May two folders be compared at all? What speaks against it is an error or a warning."""

from collections.abc import Mapping
from typing import Any

from worldbench.distance.folders import FolderClips
from worldbench.errors import DataError


def require_comparable(real: FolderClips, fake: FolderClips) -> None:
    """Refuses folders whose clips differ in size or length.

    Raises:
        DataError: If they do, or a folder has no clip; the fix names the option that helps.
    """
    for side in (real, fake):
        if not side.clips:
            raise DataError(
                f"no video of {side.root} is long enough for a clip",
                seen=f"{len(side.manifest.entries)} videos",
                accepted=f"{side.cut.frames} frames at stride {side.cut.stride}",
                fix="--frames with fewer",
            )
    if real.cut.size is None:
        _require_one("sizes", real.sizes, fake.sizes, real, fake)
    _require_one("lengths", real.lengths, fake.lengths, real, fake)


def _require_one(
    what: str,
    ours: Mapping[Any, int],
    theirs: Mapping[Any, int],
    real: FolderClips,
    fake: FolderClips,
) -> None:
    if len(ours.keys() | theirs.keys()) == 1:
        return
    accepted = {
        "sizes": ("one size in both folders", "--size 256 brings all to 256×256"),
        "lengths": ("one number of frames", "--frames 16 takes so many of each video"),
    }[what]
    raise DataError(
        f"the videos have different {what}",
        seen=f"{real.root}: {_listed(what, ours)}; {fake.root}: {_listed(what, theirs)}",
        accepted=accepted[0],
        fix=accepted[1],
    )


def _listed(what: str, counts: Mapping[Any, int]) -> str:
    def said(value: object) -> str:
        if isinstance(value, tuple):
            return f"{value[0]}×{value[1]}"
        return f"{value} frames" if what == "lengths" else f"{value} fps"

    shown = [f"{count} of {said(value)}" for value, count in list(counts.items())[:3]]
    more = f" and {len(counts) - 3} other {what}" if len(counts) > 3 else ""
    return ", ".join(shown) + more


def doubts(real: FolderClips, fake: FolderClips) -> list[str]:
    """Returns what a reader should know before comparing two folders."""
    found = []
    if real.cut.fps is None and len(real.rates.keys() | fake.rates.keys()) > 1:
        found.append(
            "frame rates differ, so the same motion has other speeds: "
            f"{_listed('rates', real.rates)} against {_listed('rates', fake.rates)}; "
            "--fps resamples"
        )
    shared = len(real.contents & fake.contents)
    if shared:
        found.append(f"{shared} files stand in both folders, which makes them look closer")
    for side in (real, fake):
        if side.manifest.excluded:
            first = side.manifest.excluded[0]
            found.append(
                f"{len(side.manifest.excluded)} videos of {side.root} were left out, "
                f"e.g. {first.path} ({first.reason})"
            )
    return found
