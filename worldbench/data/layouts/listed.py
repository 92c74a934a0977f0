"""Every layout by its name, for data that is configured."""

from collections.abc import Sequence

from worldbench.data.layouts.class_folders import class_folders
from worldbench.data.layouts.folder import folder
from worldbench.data.layouts.kinetics import kinetics
from worldbench.data.layouts.path_label import path_label
from worldbench.data.layouts.ssv2 import ssv2
from worldbench.data.layouts.ucf101 import hmdb51, ucf101
from worldbench.data.manifest import Video

LAYOUTS = ("folder", "class_folders", "kinetics", "path_label", "ssv2", "ucf101", "hmdb51")

ANNOTATED = frozenset({"kinetics", "path_label", "ssv2", "ucf101", "hmdb51"})
"""Layouts that need annotations beside the videos."""

_READERS = {"kinetics": kinetics, "path_label": path_label, "ucf101": ucf101, "hmdb51": hmdb51}


def listed(
    layout: str,
    root: str,
    annotations: str | None,
    *,
    split: str | None,
    classes: Sequence[str] | None,
) -> tuple[Video, ...]:
    """Lists the videos of a data root.

    Args:
        layout: One of :data:`LAYOUTS`.
        root: The folder that holds the videos.
        annotations: What :data:`ANNOTATED` layouts read.
        split: Keep only this split.
        classes: Keep only these classes.

    Raises:
        DataError: As the reader of the layout.
        UsageError: If there is no such class or split.
    """
    if layout == "folder":
        return folder(root)
    if layout == "class_folders":
        return class_folders(root, classes=classes, split=split)
    if layout == "ssv2":
        splits = (split,) if split is not None else ("train", "validation")
        return ssv2(str(annotations), root, splits=splits, classes=classes)
    return _READERS[layout](str(annotations), root, classes=classes, split=split)
