"""Kinetics-400/600/700: a CSV of YouTube cuts, and files named after id and seconds."""

from collections.abc import Sequence
from pathlib import Path

from worldbench.data.files import contained
from worldbench.data.layouts.class_folders import of_classes, of_split
from worldbench.data.layouts.folder import videos_below
from worldbench.data.layouts.listing import bad_line, read_csv
from worldbench.data.manifest import Video, unique
from worldbench.errors import DataError

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")


def kinetics(
    listing: str | Path,
    root: str | Path,
    *,
    classes: Sequence[str] | None = None,
    split: str | None = None,
) -> tuple[Video, ...]:
    """Lists the videos of a Kinetics CSV with columns :data:`COLUMNS`.

    Files are ``<id>_<start:06d>_<end:06d>`` with any video suffix, in ``root``, ``<label>/``,
    ``<split>/`` or ``<split>/<label>/`` (blanks of labels may be underscores). Files already hold
    the cut alone, so the seconds of the CSV set no stretch. Rows without a file, of which
    Kinetics always has some, are listed as ``<name>.mp4`` and excluded by the scan.

    Args:
        listing: The CSV file.
        root: The data folder.
        classes: Keep only these labels.
        split: Keep only this split.

    Returns:
        Labelled videos with their splits.

    Raises:
        DataError: If a column is missing, a row is malformed, rows repeat, a path leaves the
            root, or the root holds no video.
        UsageError: If there is no such class or split, with the alternatives.
    """
    columns, rows = read_csv(listing)
    present = {path.rpartition(".")[0]: path for path in videos_below(root)}
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise DataError(
            f"missing CSV column {', '.join(map(repr, missing))}",
            seen=f"columns {', '.join(columns) or 'none'} in {listing}",
            accepted=", ".join(COLUMNS),
            fix="use the CSV of the Kinetics release, or add the column to its first line",
        )
    videos = []
    for number, row in rows:
        label, split_name = row["label"], row["split"]
        try:
            span = f"{int(float(row['time_start'])):06d}_{int(float(row['time_end'])):06d}"
        except (TypeError, ValueError, OverflowError) as error:
            raise bad_line(listing, number, row, ",".join(COLUMNS)) from error
        name = f"{row['youtube_id']}_{span}"
        folders = ["", f"{label}/", f"{split_name}/", f"{split_name}/{label}/"]
        places = [place + name for place in folders]
        places += [place.replace(" ", "_") + name for place in folders]
        path = next((present[place] for place in places if place in present), f"{name}.mp4")
        videos.append(Video(contained(path, root), label=label, split=split_name or None))
    return unique(of_split(of_classes(videos, classes), split))
