"""A set of the worlds, ready to load: its content read or simulated, its pictures rendered once."""

import difflib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from worldbench.cache import cache_folder, cache_lock
from worldbench.data.worlds import sets
from worldbench.data.worlds.content import Content, SetPlan
from worldbench.data.worlds.simulation import cores, refuse_unguarded
from worldbench.data.worlds.storage import samples, shards, store
from worldbench.errors import DataError, UsageError, unknown_name
from worldbench.progress import Progress
from worldbench.record import write_atomic

logger = logging.getLogger(__name__)

SUFFIX = ".worlds"
_MOST_WORKERS = 16


@dataclass(frozen=True)
class Built:
    """A set whose pictures lie on disk.

    Attributes:
        content: Tracks, labels, quads.
        folder: Where the shards lie.
        size: Height and width of the pictures.
        shards: By number, memory-mapped: ``shards.CLIPS`` clips each, in the content's order.
    """

    content: Content
    folder: Path
    size: tuple[int, int]
    shards: Mapping[int, np.ndarray]

    @cached_property
    def _positions(self) -> dict[str, int]:
        places = enumerate(self.content.clips)
        return {clip.id: at for at, clip in places if at // shards.CLIPS in self.shards}

    def pixels(self, clip_id: str) -> UInt8[np.ndarray, "t h w 3"]:
        """Returns one clip's frames as a read-only view of its shard.

        Raises:
            UsageError: If there is no such clip among those rendered.
        """
        if clip_id not in self._positions:
            raise no_clip(self.content.name, clip_id, self._positions)
        shard, row = divmod(self._positions[clip_id], shards.CLIPS)
        view: UInt8[np.ndarray, "t h w 3"] = self.shards[shard][row]
        return view

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Copies clips out of the shards, in the order asked for."""
        if not ids:
            return np.empty((0, self.content.clips[0].track.frames, *self.size, 3), np.uint8)
        return np.stack([self.pixels(clip_id) for clip_id in ids])


def build(
    name: str,
    *,
    workers: int | None = None,
    size: int | tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Built:
    """Makes a set's pictures in the user's cache, or repairs what is missing or damaged there.

    Every call verifies the digest of every shard; an interrupted build goes on where it stopped.

    Args:
        name: One of :data:`worldbench.data.worlds.sets.SETS`.
        workers: Processes; by default one per core, at most 16. The bytes don't depend on it.
        size: Height and width; by default what the set was made for.
        progress: How to show progress.

    Raises:
        UsageError: If there is no such set, or no such size.
        DataError: If the pictures are not those that the set was shipped with.
        EnvironmentFault: If the cache cannot be written, the disk is full or a process dies.
    """
    content, shipped = content_of(name, workers=workers, progress=progress)
    return render_content(content, size, shipped=shipped, workers=workers, progress=progress)


def render_content(
    content: Content,
    size: int | tuple[int, int] | None = None,
    *,
    ids: Collection[str] | None = None,
    shipped: Mapping[str, np.ndarray] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Built:
    """Renders content into its folder of the cache, as :func:`build` does.

    Args:
        content: What to render.
        size: Height and width; by default what the clips were made for.
        ids: The clips that are needed; shards without any of them are left alone. All if None.
        shipped: Pixel samples to check the pictures against.
        workers: Processes.
        progress: How to show progress.
    """
    refuse_unguarded()
    size = sides(content, size)
    folder = folder_of(content.name, content.digest, size)
    tracks = [clip.track for clip in content.clips]
    wanted = [at for at, clip in enumerate(content.clips) if ids is None or clip.id in ids]
    title = f"rendering {content.name}"
    with cache_lock(folder), (progress or Progress()).task(title, len(wanted)) as step:
        made = shards.render_shards(
            tracks, size, folder, wanted=wanted, workers=_workers(workers), tell=step.to
        )
    built = Built(content, folder, size, made)
    if shipped is not None and size == native_size(content):
        pixels = {at: built.pixels(content.clips[at].id) for at in wanted}
        samples.check(content, pixels, shipped)
    return built


def content_of(
    name: str, *, workers: int | None = None, progress: Progress | None = None
) -> tuple[Content, dict[str, np.ndarray] | None]:
    """Returns a set's content: as shipped, as simulated before, or simulated now.

    Returns:
        The content, and the pixel samples it was shipped with, if it was.

    Raises:
        UsageError: If there is no such set.
        DataError: If the shipped file is damaged.
        EnvironmentFault: If the cache cannot be written.
    """
    refuse_unguarded()
    plan = plan_of(name)
    packed = shipped_bytes(name)
    if packed is not None and store.read_label(packed).plan == plan.digest:
        return store.unpack(packed), store.unpack_samples(packed)
    path = simulated_path(plan)
    with cache_lock(path):
        if path.is_file():
            try:
                return store.unpack(path.read_bytes()), None
            except DataError as error:
                logger.warning("%s: simulating the set again (%s)", path, error.one_line)
        content = simulate(plan, workers=workers, progress=progress)
        write_atomic(path, store.pack(content, plan=plan.digest))
        return content, None


def simulate(
    plan: SetPlan, *, workers: int | None = None, progress: Progress | None = None
) -> Content:
    """Simulates a set, whatever is shipped or cached."""
    with (progress or Progress()).task(f"simulating {plan.name}", 1) as step:
        return plan.make(_workers(workers), step.to)


def plan_of(name: str) -> SetPlan:
    """Returns the plan of a set.

    Raises:
        UsageError: If there is none, with the nearest name and all others.
    """
    plan: SetPlan | None = sets.SETS.get(name)
    if plan is None:
        raise unknown_name("set of worlds", name, sets.SETS, fix="worldbench data list")
    return plan


def no_clip(name: str, clip_id: str, known: Iterable[str]) -> UsageError:
    """Builds the error for an unknown clip, for the caller to raise."""
    near = difflib.get_close_matches(clip_id, list(known), n=3)
    return UsageError(
        f"set {name!r} has no such clip here",
        seen=clip_id,
        accepted=", ".join([*near, "…"]),
        fix="take ids from clips(); other splits have other clips",
    )


def sides(content: Content, size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Returns the height and width that a size stands for; what the clips were made for if None.

    Raises:
        UsageError: If there is no such size.
        DataError: As :func:`native_size`.
    """
    native = native_size(content)
    height, width = native if size is None else (size, size) if isinstance(size, int) else size
    if not 16 <= min(height, width) <= max(height, width) <= 1024:
        raise UsageError(
            "the worlds cannot be rendered at this size",
            seen=f"{height} × {width}",
            accepted="height and width of 16 to 1024 pixels",
            fix=f"data.size={native[0]}, --size {native[0]}, or leave it out",
        )
    return height, width


def native_size(content: Content) -> tuple[int, int]:
    """Returns height and width that a set's clips were made for.

    Raises:
        DataError: If the set is empty or its clips differ in length, rate or size.
    """
    formats = {(c.track.frames, c.track.spec.fps, c.track.spec.size) for c in content.clips}
    if len(formats) != 1:
        raise DataError(
            f"the clips of set {content.name!r} have no format in common",
            seen="; ".join(f"{t} frames, {fps} fps, {size}" for t, fps, size in sorted(formats))
            or "no clips",
            accepted="clips of one length, rate and size",
            fix="make the plan ask for one format",
        )
    height, width = formats.pop()[2]
    return int(height), int(width)


def folder_of(name: str, digest: str, size: tuple[int, int]) -> Path:
    """Returns where the pictures of some content lie."""
    key = f"{digest[:12]}-{size[0]}x{size[1]}-r{shards.RENDERER}"
    return cache_folder("worlds") / f"{name}-{key}"


def simulated_path(plan: SetPlan) -> Path:
    """Returns where the content of a set that is not shipped is kept."""
    return cache_folder("worlds") / f"{plan.name}-{plan.digest[:12]}{SUFFIX}"


def shipped_bytes(name: str) -> bytes | None:
    """Returns the packed file that comes with the package; None if the set is not shipped."""
    file = files("worldbench.data.worlds") / "shipped" / f"{name}{SUFFIX}"
    return file.read_bytes() if file.is_file() else None


def _workers(asked: int | None) -> int:
    return asked or min(cores(), _MOST_WORKERS)
