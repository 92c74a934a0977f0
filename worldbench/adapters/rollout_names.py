"""Rollout files recognised by their names, as VBench and Physics-IQ name them.

* ``vbench``: ``<name>-<sample>.mp4`` (github.com/Vchitect/VBench), where the name stands for a
  trial id as :func:`worldbench.adapters.rollout_manifest.file_name` writes it.
* ``physics_iq``: ``<id:04>_perspective-<left|center|right>_trimmed-<scene>.mp4``, in one folder
  or in run folders ``<model>-<setting>-run_<n>/``, one sample each in the order of n
  (github.com/google-deepmind/physics-IQ-benchmark).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldbench.errors import DataError

ACCEPTED = (
    "manifest.jsonl, or <trial id with _ for />-<sample>.mp4, or "
    "<id:04>_perspective-<left|center|right>_trimmed-<scene>.mp4 (also in folders "
    "<model>-<setting>-run_<n>/); one of them, not a mixture"
)

_VBENCH = re.compile(r"(?P<key>.+)-(?P<sample>\d+)")
_PHYSICS_IQ = re.compile(r"\d{4}_perspective-(?:left|center|right)_trimmed-[^_@]+")
_RUN = re.compile(r"(?P<model>.+)-run_(?P<number>\d+)")


@dataclass(frozen=True)
class NamedFile:
    """A file whose name says what it is: its key, its sample and its path relative to the root."""

    key: str
    sample: int
    path: str


def find_named(root: Path, layout: str) -> tuple[str, list[NamedFile]]:
    """Finds the rollouts of a folder by their names.

    Args:
        root: The folder.
        layout: ``vbench`` or ``physics_iq``, which pass over all other names; or ``auto``, which
            decides and refuses ``.mp4`` files that do not fit.

    Returns:
        The layout, and its files.

    Raises:
        DataError: If no name is recognised, names are mixed, or run folders of several models
            stand side by side.
    """
    named: dict[str, list[NamedFile]] = {"vbench": [], "physics_iq": []}
    strangers = []
    folders = [(0, root), *enumerate(_runs(root))]
    for sample, path in [(sample, path) for sample, folder in folders for path in _videos(folder)]:
        relative = path.relative_to(root).as_posix()
        if _PHYSICS_IQ.fullmatch(path.stem):
            named["physics_iq"].append(NamedFile(path.stem, sample, relative))
        elif path.parent == root and (match := _VBENCH.fullmatch(path.stem)):
            named["vbench"].append(NamedFile(match["key"], int(match["sample"]), relative))
        else:
            strangers.append(relative)
    kinds = [kind for kind, files in named.items() if files and layout in ("auto", kind)]
    if len(kinds) != 1 or (layout == "auto" and strangers):
        examples = [files[0].path for files in named.values() if files]
        raise DataError(
            f"cannot tell which rollouts {root} holds",
            seen=listing(examples + strangers) or "no .mp4 file",
            accepted=ACCEPTED,
            fix="rename the files, write a manifest.jsonl, or set adapter.layout to one kind",
        )
    return kinds[0], named[kinds[0]]


def listing(items: Sequence[str], limit: int = 10) -> str:
    """Joins the first few items and says how many there are in all."""
    more = f", … ({len(items)} in all)" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def _videos(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".mp4" and not path.name.startswith(".")
    )


def _runs(root: Path) -> list[Path]:
    runs = [
        (int(match["number"]), match["model"], path)
        for path in root.iterdir()
        if path.is_dir() and (match := _RUN.fullmatch(path.name))
    ]
    models = sorted({model for _, model, _ in runs})
    if len(models) > 1:
        raise DataError(
            f"the run folders in {root} belong to more than one model or setting",
            seen=listing(models),
            accepted="folders <model>-<setting>-run_<n> of one model and setting",
            fix="keep each model's runs in a folder of their own",
        )
    return [path for _, _, path in sorted(runs)]
