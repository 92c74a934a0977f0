"""What tracks must be to be rendered, and at which size."""

from collections.abc import Sequence

import numpy as np

from worldbench.data.worlds.track import Track
from worldbench.errors import DataError, UsageError

Size = int | tuple[int, int] | None
"""Height and width in pixels, one integer for both, None for the spec's."""


def target_size(tracks: Sequence[Track], size: Size) -> tuple[int, int]:
    """Returns the height and width at which tracks are rendered, or says why they cannot be.

    Raises:
        UsageError: If there is no track, lengths or sizes differ, or the aspect ratio does.
    """
    if not tracks:
        raise UsageError("there is no track to render", accepted="one or more")
    for what, values in (
        ("length", {track.frames for track in tracks}),
        ("size", {track.spec.size for track in tracks} if size is None else {size}),
    ):
        if len(values) > 1:
            raise UsageError(
                f"tracks of one batch differ in {what}",
                seen=sorted(values),
                accepted=f"one {what}",
                fix="render each kind in its own call"
                + (", or give size=(height, width)" if what == "size" else ""),
            )
    given = tracks[0].spec.size if size is None else size
    height, width = (given, given) if isinstance(given, int) else given
    for track in tracks:
        fits = abs(height * track.spec.aspect - width) <= max(0.5, 0.5 * track.spec.aspect)
        if not fits or min(height, width) < 1:
            raise UsageError(
                f"the picture does not have the aspect ratio of {track.spec.family}",
                seen=f"{height} × {width}",
                accepted=f"{track.spec.height} × {track.spec.width} and multiples of it",
                fix=f"data.size={track.spec.height * max(1, round(height / track.spec.height))}, "
                "which the adapter then frames itself; or null for the set's own",
            )
    return height, width


def intrinsics(track: Track, height: int, width: int) -> np.ndarray:
    """Returns a track's intrinsics in pixels of another size, float64 ``[3, 3]``."""
    scale = np.array([width / track.spec.width, height / track.spec.height, 1.0])
    out: np.ndarray = track.K.astype(np.float64) * scale[:, None]
    return out


def check(track: Track) -> None:
    """Refuses poses that no camera could have seen.

    Raises:
        DataError: If a number is not finite or the camera is outside the room.
    """
    for name in ("pos", "rot", "size", "camera_c2w", "K", "room", "light"):
        if not np.isfinite(getattr(track, name)).all():
            raise DataError(
                f"{name} of a track of {track.spec.family} is not finite",
                seen="NaN or infinite values",
                accepted="finite numbers",
                fix="simulate the spec again",
            )
    if track.slots and not (np.abs(track.rot).max(-1) > 1e-6).all():
        raise DataError(
            f"a rotation of a track of {track.spec.family} is the zero quaternion",
            accepted="unit quaternions (w, x, y, z)",
            fix="simulate the spec again",
        )
    eye = track.camera_c2w[:, :3, 3]
    out = np.flatnonzero(~((eye > track.room[0]) & (eye < track.room[1])).all(1))
    if len(out):
        raise DataError(
            f"the camera of a track of {track.spec.family} leaves the room",
            seen=f"{eye[out[0]].tolist()} in frame {out[0]}",
            accepted=f"between {track.room[0].tolist()} and {track.room[1].tolist()}",
            fix="move the camera or enlarge the room",
        )
