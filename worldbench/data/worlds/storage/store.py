"""A set's content as one compact file: no pixels, no pickles, exact to the bit.

A line of JSON that says what is inside, the tracks (:mod:`worldbench.data.worlds.storage.codec`, in
safetensors, under LZMA), and the pixel samples that shipped sets are checked against.
"""

import json
import lzma
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from worldbench.data.worlds.content import Content, QuadEntry, WorldClip
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.storage.codec import StreamReader, StreamWriter
from worldbench.errors import DataError, WorldbenchError

_MAGIC = b"worldbench worlds 1 "
_DAMAGED = (
    *(lzma.LZMAError, SafetensorError, WorldbenchError),
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, MemoryError),
)


@dataclass(frozen=True)
class Label:
    """What a packed file says about itself on its first line.

    Attributes:
        name: The set's name.
        digest: Digest of its content.
        plan: Digest of the plan that made it; empty if unknown.
        clips: Number of clips.
        quads: Number of quads.
        size: Height and width that its clips were made for.
        lengths: Bytes of the content and of the pixel samples.
    """

    name: str
    digest: str
    plan: str
    clips: int
    quads: int
    size: tuple[int, int]
    lengths: tuple[int, int]


def pack(
    content: Content, *, plan: str = "", samples: Mapping[str, np.ndarray] | None = None
) -> bytes:
    """Writes a set's content as bytes.

    Args:
        content: The content.
        plan: Digest of the plan that made it.
        samples: Pixel samples of :func:`worldbench.data.worlds.storage.samples.sample`.

    Returns:
        The same bytes for the same content.
    """
    writer = StreamWriter()
    clips = [_told(clip, writer.add(clip.track)) for clip in content.clips]
    told = {
        "clips": clips,
        "quads": [asdict(quad) for quad in content.quads],
        "drawn": dict(content.drawn),
        "rejected": dict(content.rejected),
    }
    header = np.frombuffer(json.dumps(told, sort_keys=True).encode(), np.uint8)
    body = lzma.compress(save({**writer.streams(), "told": header}), preset=6)
    pixels = lzma.compress(save(dict(samples))) if samples is not None else b""
    first = content.clips[0].track.spec if content.clips else None
    label = Label(
        content.name,
        content.digest,
        plan,
        len(content.clips),
        len(content.quads),
        (first.height, first.width) if first is not None else (0, 0),
        (len(body), len(pixels)),
    )
    line = json.dumps(asdict(label), sort_keys=True).encode()
    return b"".join([_MAGIC, line, b"\n", body, pixels])


def unpack(packed: bytes) -> Content:
    """Reads what :func:`pack` wrote.

    Raises:
        DataError: If the bytes are damaged or something else.
    """
    label = read_label(packed)
    try:
        streams = load(lzma.decompress(_blocks(packed, label)[0]))
        told = json.loads(streams.pop("told").tobytes())
        reader = StreamReader(streams)
        content = Content(
            label.name,
            tuple(_clip(fields, reader) for fields in told["clips"]),
            tuple(_quad(fields) for fields in told["quads"]),
            told["drawn"],
            told["rejected"],
        )
    except _DAMAGED as error:
        raise _damaged(f"{type(error).__name__}: {error}") from error
    if content.digest != label.digest:
        raise _damaged(f"content of digest {content.digest[:12]} instead of {label.digest[:12]}")
    return content


def unpack_samples(packed: bytes) -> dict[str, np.ndarray] | None:
    """Reads the pixel samples beside the content, if there are any.

    Raises:
        DataError: If the bytes are damaged or something else.
    """
    label = read_label(packed)
    try:
        pixels = _blocks(packed, label)[1]
        return dict(load(lzma.decompress(pixels))) if pixels else None
    except _DAMAGED as error:
        raise _damaged(f"{type(error).__name__}: {error}") from error


def read_label(packed: bytes) -> Label:
    """Reads the first line alone; the beginning of a file will do.

    Raises:
        DataError: If the bytes are damaged or something else.
    """
    try:
        magic, line = packed[: len(_MAGIC)], packed[len(_MAGIC) : packed.index(b"\n")]
        if magic != _MAGIC:
            raise ValueError(f"it begins with {magic!r}")
        fields = json.loads(line)
        return Label(
            **{**fields, "size": tuple(fields["size"]), "lengths": tuple(fields["lengths"])}
        )
    except _DAMAGED as error:
        raise _damaged(error) from error


def _blocks(packed: bytes, label: Label) -> tuple[bytes, bytes]:
    begin = packed.index(b"\n") + 1
    middle, end = begin + label.lengths[0], begin + sum(label.lengths)
    if end != len(packed):
        raise ValueError(f"{len(packed)} bytes instead of {end}")
    return packed[begin:middle], packed[middle:end]


def _told(clip: WorldClip, counts: list[int]) -> dict[str, Any]:
    track = clip.track
    told = {name: getattr(clip, name) for name in ("id", "split", "cluster", "label")}
    scene = {"label": track.label, "roles": list(track.roles), "factors": dict(track.factors)}
    scene["spec"] = track.spec.to_dict()
    return {**told, "factors": dict(clip.factors), "track": scene, "counts": counts}


def _clip(told: dict[str, Any], reader: StreamReader) -> WorldClip:
    scene, counts = told.pop("track"), told.pop("counts")
    track = reader.take(
        *counts,
        spec=SceneSpec.from_dict(scene["spec"]),
        factors=scene["factors"],
        label=scene["label"],
        roles=tuple(scene["roles"]),
    )
    return WorldClip(track=track, **told)


def _quad(told: dict[str, Any]) -> QuadEntry:
    return QuadEntry(**{**told, "clips": tuple(told["clips"])})


def _damaged(seen: object) -> DataError:
    return DataError(
        "a packed set of worlds is damaged or of another kind",
        seen=seen,
        accepted="a file written by this release of worldbench",
        fix="delete it from the cache, or reinstall worldbench-suite if it came with the package",
    )
