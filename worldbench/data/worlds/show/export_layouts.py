"""Which files an exported layout consists of, under which names."""

import base64
import csv
import hashlib
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from worldbench.data.layouts.kinetics import COLUMNS
from worldbench.data.video import encode
from worldbench.data.worlds.content import Content, WorldClip
from worldbench.record import write_atomic

CRF = 12

Video = UInt8[np.ndarray, "t h w 3"]


@dataclass(frozen=True)
class File:
    """A file to come: where below the export's folder, of which clip, and how it is written."""

    path: str
    clip: WorldClip
    write: Callable[[Path, Video], None]


@dataclass(frozen=True)
class Files:
    """All of an export: files with pictures in them, and listings by path."""

    files: Sequence[File]
    texts: dict[str, str]


Layout = Callable[[Content, int], Files]


def kinetics(content: Content, frames_per_clip: int) -> Files:
    """``annotations.csv`` and one cut per clip; a scene is a YouTube id of 11 characters."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    cuts: Counter[str] = Counter()
    files = []
    for clip in content.clips:
        source = youtube_id(content.digest + clip.cluster)
        seconds = max(1, math.ceil(clip.track.frames / clip.track.spec.fps))
        start, end = cuts[source] * seconds, (cuts[source] + 1) * seconds
        cuts[source] += 1
        split = "validate" if clip.split == "test" else clip.split
        writer.writerow([clip.label, source, start, end, split])
        files.append(_video(f"{source}_{start:06d}_{end:06d}.mp4", clip))
    return Files(files, {"annotations.csv": text.getvalue()})


def ssv2(content: Content, frames_per_clip: int) -> Files:
    """``labels.json``, a JSON list per split, and numbered files."""
    classes = sorted({template(clip.label).translate(_BRACKETS) for clip in content.clips})
    items: dict[str, list[dict[str, object]]] = {"train": [], "validation": []}
    files = []
    for number, clip in enumerate(content.clips, start=1):
        split = "validation" if clip.split == "test" else clip.split
        item = {"id": str(number), "label": clip.label, "template": template(clip.label)}
        items.setdefault(split, []).append({**item, "placeholders": []})
        files.append(_video(f"{number}.mp4", clip))
    texts = {f"{split}.json": json.dumps(listed, indent=0) for split, listed in items.items()}
    texts["labels.json"] = json.dumps({name: str(at) for at, name in enumerate(classes)}, indent=0)
    return Files(files, texts)


def imagenet(content: Content, frames_per_clip: int) -> Files:
    """``<split>/<class>/<id>.jpg``, and ``classes.json`` from folder to label."""
    folders = class_folders([clip.label for clip in content.clips])
    files = []
    for clip in content.clips:
        split = "val" if clip.split == "test" else clip.split
        stem = f"{split}/{folders[clip.label]}/{youtube_id(content.digest + clip.id)}"
        for k in range(frames_per_clip):
            frame = int((k + 0.5) * clip.track.frames / frames_per_clip)
            name = f"{stem}.jpg" if frames_per_clip == 1 else f"{stem}_{frame:03d}.jpg"
            files.append(File(name, clip, partial(_still, frame)))
    return Files(files, {"classes.json": json.dumps({v: k for k, v in folders.items()}, indent=0)})


def youtube_id(name: str) -> str:
    """Makes 11 characters of letters, digits, ``-`` and ``_`` out of any name."""
    return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()[:11]


def template(label: str) -> str:
    """Puts brackets round every ``something`` of a label that has none yet."""
    return label if "[" in label else re.sub(r"\bsomething\b", "[something]", label)


def class_folders(labels: Sequence[str]) -> dict[str, str]:
    """Gives every label a folder name of letters, digits, ``.``, ``-`` and ``_`` of its own."""
    folders: dict[str, str] = {}
    for label in sorted(set(labels)):
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", label).strip("._")[:80] or "class"
        taken = {name.lower() for name in folders.values()}
        number = 2
        name = plain
        while name.lower() in taken:  # some file systems do not tell A from a
            name, number = f"{plain}_{number}", number + 1
        folders[label] = name
    return folders


def _video(path: str, clip: WorldClip) -> File:
    return File(path, clip, lambda to, video: encode(to, video, clip.track.spec.fps, crf=CRF))


def _still(frame: int, path: Path, video: Video) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, content = cv2.imencode(".jpg", cv2.cvtColor(video[frame], cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    write_atomic(path, content.tobytes())


_BRACKETS = str.maketrans("", "", "[]")
