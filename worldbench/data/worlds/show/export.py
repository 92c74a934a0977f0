"""Labelled sets written out as Kinetics, Something-Something v2 and ImageNet copies lie on disk.

What reads those layouts elsewhere (probes of other projects, torchvision, our own readers) reads
these. Evaluation clips stand under the names that the releases use: ``validate``, ``validation``,
``val``.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.data.worlds import sets
from worldbench.data.worlds.content import Content
from worldbench.data.worlds.show.export_layouts import File, Layout, imagenet, kinetics, ssv2
from worldbench.data.worlds.storage.build import Built, content_of, render_content, sides
from worldbench.errors import UsageError, unknown_name
from worldbench.progress import Progress
from worldbench.record import file_digest, unwritable, write_atomic

LAYOUTS: dict[str, Layout] = {"kinetics": kinetics, "ssv2": ssv2, "imagenet": imagenet}
_INDEX = "worldbench-export.json"
_EVERY = 64  # files between two notes of what is finished


@dataclass(frozen=True)
class Exported:
    """What an export left behind.

    Attributes:
        out: The folder.
        written: Files written now.
        kept: Files of an earlier export that were intact.
    """

    out: Path
    written: int
    kept: int


def export(
    name: str,
    layout: str,
    out: Path,
    *,
    frames_per_clip: int = 1,
    size: int | tuple[int, int] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Writes a labelled set in a public layout. The same command resumes and repairs.

    - ``kinetics``: ``annotations.csv`` and ``<id>_<start:06d>_<end:06d>.mp4``; clips of one scene
      are cuts of one id. ``test`` is called ``validate``.
    - ``ssv2``: ``labels.json``, ``<split>.json`` and ``<number>.mp4``. ``test`` is ``validation``.
    - ``imagenet``: ``<split>/<class>/<id>.jpg``. ``test`` is ``val``.

    Args:
        name: A set whose clips are labelled.
        layout: One of :data:`LAYOUTS`.
        out: A folder that is empty, new, or holds the same export.
        frames_per_clip: Pictures per clip for ``imagenet``, from the middles of equal stretches.
        size: Height and width; by default what the set was made for.
        workers: Processes that render.
        progress: How to show progress.

    Raises:
        UsageError: If set or layout do not exist, the set has no labels, a number makes no sense
            or the folder holds something else.
        EnvironmentFault: If the folder cannot be written or the disk is full.
    """
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS, fix="--layout kinetics")
    content, shipped = content_of(name, workers=workers, progress=progress)
    _require_labels(content)
    frames = content.clips[0].track.frames
    if not 1 <= frames_per_clip <= frames:
        raise UsageError(
            "clips have not so many frames",
            seen=frames_per_clip,
            accepted=f"1 to {frames}",
            fix="--frames-per-clip 1",
        )
    progress = progress or Progress()
    shape = sides(content, size)
    identity = {
        "content": content.digest,
        "layout": layout,
        "size": list(shape),
        "frames_per_clip": frames_per_clip if layout == "imagenet" else None,
    }
    known = _known(out, identity)
    built = render_content(content, shape, shipped=shipped, workers=workers, progress=progress)
    plan = LAYOUTS[layout](content, frames_per_clip)
    with progress.task(f"exporting {name}", len(plan.files)) as step:
        done, written = _write(plan.files, built, out, known, identity, step.to)
    for path, text in plan.texts.items():
        write_atomic(out / path, text.encode())
    _note(out, identity, done)
    return Exported(out, written, len(done) - written)


def _write(
    plan: Sequence[File],
    built: Built,
    out: Path,
    known: dict[str, str],
    identity: dict[str, Any],
    tell: Callable[[int, int], None],
) -> tuple[dict[str, str], int]:
    """Writes what is missing or changed; returns every file's digest and how many were written."""
    done: dict[str, str] = {}
    written = 0
    for file in plan:
        path = out / file.path
        sha256 = known.get(file.path)
        if sha256 is None or not path.is_file() or file_digest(path) != sha256:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unwritable(path, error) from error
            file.write(path, built.pixels(file.clip.id))
            sha256, written = file_digest(path), written + 1
            if written % _EVERY == 0:
                _note(out, identity, known | done | {file.path: sha256})
        done[file.path] = sha256
        tell(len(done), len(plan))
    return done, written


def _require_labels(content: Content) -> None:
    bare = next((clip.id for clip in content.clips if not clip.label), None)
    if bare is None:
        return
    # Plans with labels have a `label`; asking contents would simulate every other set.
    labelled = [name for name, plan in sets.SETS.items() if getattr(plan, "label", "")]
    raise UsageError(
        f"set {content.name!r} has clips without labels, and these layouts are for labelled clips",
        seen=f"clip {bare}",
        accepted=", ".join(sorted(labelled)) or "a set whose clips are all labelled",
        fix="worldbench data list shows which sets have labels",
    )


def _known(out: Path, identity: dict[str, Any]) -> dict[str, str]:
    """Reads what an earlier export finished; refuses folders with anything else."""
    try:
        told = json.loads((out / _INDEX).read_text())
        if told["identity"] == identity:
            return {str(path): str(sha256) for path, sha256 in told["files"].items()}
        seen = f"an export of {told['identity']}"
    except FileNotFoundError:
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            _note(out, identity, {})
            return {}
        seen = f"other files in {out}"
    except OSError as error:
        raise unwritable(out, error) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        seen = f"{out / _INDEX}: {error}"
    raise UsageError(
        "the folder holds something else than this export",
        seen=seen,
        accepted="a new or empty folder, or one that the same command began to fill",
        fix="choose another folder, or empty this one",
    )


def _note(out: Path, identity: dict[str, Any], files: dict[str, str]) -> None:
    told = {"identity": identity, "files": dict(sorted(files.items()))}
    write_atomic(out / _INDEX, json.dumps(told, indent=0, sort_keys=True).encode())
