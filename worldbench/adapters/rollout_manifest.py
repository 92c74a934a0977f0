"""Which rollout file answers which trial: ``manifest.jsonl``, or names read as lines of one.

The names are those of :mod:`worldbench.adapters.rollout_names`. Nothing here decodes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worldbench.adapters.rollout_names import ACCEPTED, find_named, listing
from worldbench.data.files import open_checked
from worldbench.errors import DataError, UsageError, unknown_name

LAYOUTS = ("auto", "manifest", "vbench", "physics_iq")
MANIFEST = "manifest.jsonl"

_UNSAFE = re.compile(r'^\.|[/\\<>:"|?*\x00-\x1f]')
_PHYSICS_IQ_TRIAL = re.compile(
    r"(?:.*/)?(?P<id>\d{4})_testing-videos_\d+FPS_(?P<view>perspective-(?:left|center|right))"
    r"_take-\d+_(?P<scene>trimmed-[^_@]+)@0"
)


class ManifestLine(BaseModel):
    """One line of ``manifest.jsonl``; optional keys that are left out take the adapter's options.

    Attributes:
        item_id: The trial id.
        sample: Which of the item's rollouts it is, from 0; unique within the item.
        path: The file, relative to the folder and inside it.
        seed: The seed it was made with.
        prefix_frames_included: Frames of the file, at its start, that are context, not future.
        fps: The rate of its frames where the container's own is wrong.
        model: The system that made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    item_id: str = Field(min_length=1)
    sample: int = Field(ge=0)
    path: str = Field(min_length=1)
    seed: int | None = None
    prefix_frames_included: int | None = Field(default=None, ge=0)
    fps: float | None = Field(default=None, gt=0)
    model: str | None = Field(default=None, min_length=1)


@dataclass(frozen=True)
class Rollout:
    """One exported file.

    Attributes:
        key: What :func:`key_of` makes of the trial that it answers.
        sample: Which of the trial's rollouts it is, from 0.
        path: The file, links followed.
        prefix_frames_included: Frames at its start that are context, not future.
        fps: Declared rate of its frames; ``None``: the container's timestamps hold.
        model: The system that made it, if told.
        seed: The seed it was made with, if told.
    """

    key: str
    sample: int
    path: Path
    prefix_frames_included: int
    fps: float | None
    model: str | None
    seed: int | None


@dataclass(frozen=True)
class RolloutIndex:
    """The rollouts of a folder, duplicates included, in the order of (key, sample, path)."""

    layout: str
    rollouts: tuple[Rollout, ...]

    @property
    def duplicates(self) -> tuple[str, ...]:
        """The (key, sample) pairs that more than one rollout claims, as text."""
        counts = Counter((r.key, r.sample) for r in self.rollouts)
        return tuple(f"{key} sample {s} ({n} times)" for (key, s), n in counts.items() if n > 1)


def file_name(trial_id: str) -> str:
    r"""Returns the name, without suffix, that a trial's files have on any file system.

    ``/`` and the characters that some system refuses (``\ < > : " | ? *``, control characters, a
    leading dot) become ``_``: ``kick/abc@0`` is ``kick_abc@0``, and its first rollout in the
    ``vbench`` layout is ``kick_abc@0-0.mp4``. Two ids can share a name: see :func:`file_names`.
    """
    return _UNSAFE.sub("_", trial_id)


def file_names(trial_ids: Iterable[str]) -> dict[str, str]:
    """Maps trial ids to their :func:`file_name`.

    Raises:
        DataError: If two different ids share a file name.
    """
    names = {trial_id: file_name(trial_id) for trial_id in trial_ids}
    refuse_shared(names)
    return names


def refuse_shared(keys: Mapping[str, str]) -> None:
    """Refuses trials that one and the same file would answer.

    Args:
        keys: The file name or key of each trial id.

    Raises:
        DataError: Naming every pair.
    """
    owner: dict[str, str] = {}
    shared = [
        f"{owner[key]!r} and {trial_id!r} are both {key!r}"
        for trial_id, key in keys.items()
        if owner.setdefault(key, trial_id) != trial_id
    ]
    if shared:
        raise DataError(
            "several trials share one rollout file name",
            seen=listing(shared),
            accepted="one name per trial",
            fix=f"list the rollouts in a {MANIFEST}, or rename the source videos",
        )


def key_of(layout: str, trial_id: str) -> str | None:
    """Returns what a trial's rollouts are filed under, or ``None`` if the layout has no name.

    Physics-IQ names answer clip 0 of ``<id>_testing-videos_<fps>FPS_perspective-<view>_take-<n>_``
    ``trimmed-<scene>`` in any folder.
    """
    if layout == "manifest":
        return trial_id
    if layout == "vbench":
        return file_name(trial_id)
    match = _PHYSICS_IQ_TRIAL.fullmatch(trial_id)
    return f"{match['id']}_{match['view']}_{match['scene']}" if match else None


def read_rollouts(
    root: Path,
    layout: str = "auto",
    *,
    prefix_frames_included: int = 0,
    fps: float | None = None,
    model: str | None = None,
) -> RolloutIndex:
    """Lists the rollouts of a folder.

    Args:
        root: The folder.
        layout: One of :data:`LAYOUTS`; ``auto``: the manifest if there is one, else by the names.
        prefix_frames_included: For rollouts of which no manifest line says it.
        fps: For rollouts of which no manifest line says it.
        model: For rollouts of which no manifest line says it.

    Returns:
        The index; its order depends neither on the file system nor on the order of the lines.

    Raises:
        UsageError: If an option is out of its range.
        DataError: If nothing or a mixture is recognised; if a manifest line is malformed; if a
            file is missing, no video container or outside the folder; if the rollouts come from
            more than one model.
    """
    _refuse_options(layout, prefix_frames_included, fps)
    if not root.is_dir():
        raise DataError(
            f"{root} is not a folder", accepted=f"a folder with {ACCEPTED}", fix="set adapter.root"
        )
    if layout == "manifest" or (layout == "auto" and (root / MANIFEST).exists()):
        layout, lines = "manifest", _manifest_lines(root / MANIFEST)
    else:
        layout, files = find_named(root, layout)
        lines = [(f.path, ManifestLine(item_id=f.key, sample=f.sample, path=f.path)) for f in files]
    rollouts = []
    for where, line in lines:
        prefix = line.prefix_frames_included
        rollout = Rollout(
            key=line.item_id,
            sample=line.sample,
            path=_checked(root, line.path, where),
            prefix_frames_included=prefix_frames_included if prefix is None else prefix,
            fps=line.fps or fps,
            model=line.model or model,
            seed=line.seed,
        )
        rollouts.append(rollout)
    _refuse_several_models(rollouts, root)
    return RolloutIndex(layout, tuple(sorted(rollouts, key=lambda r: (r.key, r.sample, r.path))))


def _refuse_options(layout: str, prefix_frames_included: int, fps: float | None) -> None:
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS, fix="set adapter.layout=auto")
    if prefix_frames_included < 0 or (fps is not None and not 0 < fps < float("inf")):
        raise UsageError(
            "rollout options out of range",
            seen=f"prefix_frames_included={prefix_frames_included}, fps={fps}",
            accepted="prefix_frames_included ≥ 0; fps > 0, or null for the files' own",
            fix="correct adapter.prefix_frames_included and adapter.fps",
        )


def _manifest_lines(path: Path) -> list[tuple[str, ManifestLine]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {path}",
            seen=error,
            accepted="a UTF-8 file with one JSON object a line",
            fix="write it, or set adapter.layout=auto to go by file names",
        ) from error
    lines = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            lines.append((where, ManifestLine.model_validate_json(line)))
        except ValidationError as error:
            faults = (
                f"{'.'.join(map(str, fault['loc'])) or 'line'} = {fault['input']!r}: {fault['msg']}"
                for fault in error.errors()
            )
            raise DataError(
                f"{where}: malformed",
                seen="; ".join(faults),
                accepted="a JSON object with item_id, sample, path and, where known, seed, "
                "prefix_frames_included, fps, model",
                fix="correct the line",
            ) from error
    if not lines:
        raise DataError(f"{path} is empty", accepted="one JSON object a line", fix="list rollouts")
    return lines


def _checked(root: Path, path: str, where: str) -> Path:
    try:
        return open_checked(path, root)
    except (DataError, ValueError) as error:  # ValueError: a null byte
        fault = error if isinstance(error, DataError) else DataError(str(error), seen=repr(path))
        raise DataError(
            f"{where}: {fault.what}",
            seen=fault.seen,
            accepted=f"a video file inside {root}, after links are followed",
            fix="put the file into the folder and name it relative to it",
        ) from error


def _refuse_several_models(rollouts: Iterable[Rollout], root: Path) -> None:
    models = sorted({r.model for r in rollouts if r.model is not None})
    if len(models) > 1:
        raise DataError(
            f"the rollouts in {root} come from more than one model",
            seen=listing(models),
            accepted="one model a folder: its scores stand under one name",
            fix="split the manifest by model",
        )
