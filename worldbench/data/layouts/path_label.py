"""Lists of ``path label`` lines, as V-JEPA and VideoMAE read them."""

import re
from collections.abc import Sequence
from pathlib import Path

from worldbench.data.files import contained, is_video_name
from worldbench.data.layouts.class_folders import of_classes
from worldbench.data.layouts.folder import existing_folder
from worldbench.data.layouts.listing import bad_line, read_text
from worldbench.data.manifest import Video, unique

_LINE = re.compile(r"(?P<path>.*\S)\s*[,\s]\s*(?P<label>[^\s,]+)")


def path_label(
    listing: str | Path,
    root: str | Path,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[Video, ...]:
    """Lists the videos of a text file with a path and a label per line.

    A space, tab or comma divides them; the label (a number or a word) is the last token, so that
    paths may hold blanks. After a comma directly behind the video's suffix, the label is the whole
    rest of the line and may hold blanks too. Empty lines are passed over.

    Args:
        listing: The text file.
        root: The folder that paths are relative to; absolute paths must lie below it.
        split: What to call the split of this list.
        classes: Keep only these labels.

    Returns:
        Labelled videos.

    Raises:
        DataError: If a line has no path or label, a path leaves the root, or paths repeat.
        UsageError: If there is no such class, with the alternatives.
    """
    base = existing_folder(root)
    videos = []
    for number, line in enumerate(read_text(listing).splitlines(), start=1):
        if not line.strip():
            continue
        path, _, label = (part.strip() for part in line.rpartition(","))
        if not is_video_name(path):
            match = _LINE.fullmatch(line.strip())
            path, label = (match["path"].rstrip(","), match["label"]) if match else ("", "")
        if not is_video_name(path) or not label:
            raise bad_line(listing, number, line, "path/to/video.mp4 label")
        videos.append(Video(contained(path, base), label=label, split=split))
    return unique(of_classes(videos, classes))
