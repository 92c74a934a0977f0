"""Pictures and their truth from tracks: ``render`` one clip, ``render_rgb`` many.

Every frame is independent of all others, and every ray goes through the same exactly rounded
operations wherever it stands in a batch: a clip's pixels depend neither on its companions nor on
the processor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from worldbench.data.worlds.pictures.admission import Size, check, intrinsics, target_size
from worldbench.data.worlds.pictures.intersect import root
from worldbench.data.worlds.pictures.rays import Grid
from worldbench.data.worlds.pictures.shading import colours, normals
from worldbench.data.worlds.pictures.tables import Chunk, Tables, cut, tabulate
from worldbench.data.worlds.pictures.trace import Hits, trace
from worldbench.data.worlds.track import Track
from worldbench.errors import UsageError

_RAYS = {"cpu": 2**17, "other": 2**26}
"""Rays in flight: on a CPU what its second-level cache holds, elsewhere about 6 GB."""


@dataclass(frozen=True, eq=False)
class Rendered:
    """A rendered clip; the maps are what one ray through each pixel's centre meets.

    Attributes:
        rgb: Anti-aliased colours, gamma 2.
        depth: Along the camera's axis, metres.
        segmentation: 0 for the room, 1 + slot.
        normals: Unit vectors in the world.
        visible_px: Pixels of each slot.
        amodal_px: Pixels that each slot would have with all others taken away.
        K: Intrinsics in pixels of this size.
        camera_c2w: Camera to world.
    """

    rgb: UInt8[Tensor, "t h w 3"]
    depth: Float32[Tensor, "t h w"]
    segmentation: UInt8[Tensor, "t h w"]
    normals: Float32[Tensor, "t h w 3"]
    visible_px: Int64[Tensor, "t n"]
    amodal_px: Int64[Tensor, "t n"]
    K: Float32[Tensor, "3 3"]
    camera_c2w: Float32[Tensor, "t 4 4"]


def render(
    track: Track,
    *,
    size: Size = None,
    supersample: int = 2,
    device: str | torch.device = "cpu",
) -> Rendered:
    """Renders one track with depth, segmentation, normals and pixel counts.

    Solids are seen from outside: one that holds the camera is not drawn. Colours are albedo ×
    (ambient (0.7 + 0.3 n_z) + (1 − ambient) max(0, n·l) visible), averaged in linear light.

    Args:
        track: What to render.
        size: Height and width in pixels, one integer for both; by default the spec's.
        supersample: Sub-samples per pixel along each axis, for colours alone; 1 to 8.
        device: Where to compute; results stay there.

    Returns:
        The clip.

    Raises:
        UsageError: If the size has another aspect ratio than the track, or ``supersample`` is out
            of range.
        DataError: If a pose is not finite or the camera is outside the room.
    """
    height, width = target_size([track], size)
    rgb = render_rgb([track], size=(height, width), supersample=supersample, device=device)[0]
    matrix = intrinsics(track, height, width)
    tables, grid = tabulate([track], [matrix]), Grid(height, width, 1)
    parts = [_truth(chunk) for chunk in _chunks(tables, grid, None, device)]
    depth, segmentation, normal, visible, amodal = (
        torch.cat(part) for part in zip(*parts, strict=True)
    )
    return Rendered(
        rgb=rgb,
        depth=depth,
        segmentation=segmentation,
        normals=normal,
        visible_px=visible,
        amodal_px=amodal,
        K=torch.from_numpy(matrix.astype(np.float32)).to(device),
        camera_c2w=torch.from_numpy(track.camera_c2w.copy()).to(device),
    )


def render_rgb(
    tracks: Sequence[Track],
    *,
    size: Size = None,
    supersample: int = 2,
    device: str | torch.device = "cpu",
    chunk: int | None = None,
) -> UInt8[Tensor, "b t h w 3"]:
    """Renders the colours of many tracks of equal length: what :func:`render` gives for each.

    Args:
        tracks: What to render.
        size: As in :func:`render`; one for all.
        supersample: As in :func:`render`.
        device: Where to compute; the result stays there.
        chunk: Frames rendered at once, of any clips; bounds the memory, changes no pixel.

    Returns:
        Colours, gamma 2.

    Raises:
        UsageError: As :func:`render`, and if there is no track or lengths or sizes differ.
        DataError: As :func:`render`.
    """
    height, width = target_size(tracks, size)
    if not 1 <= supersample <= 8:
        raise UsageError(
            "sub-samples per pixel and axis are out of range",
            seen=supersample,
            accepted="1 to 8",
            fix="supersample=2",
        )
    if chunk is not None and chunk < 1:
        raise UsageError("a chunk holds no frame", seen=chunk, accepted="1 or more, or None")
    for track in tracks:
        check(track)
    return _colour_all(tracks, Grid(height, width, supersample), chunk, device, cull=True)


def render_depth(
    track: Track, *, size: Size = None, device: str | torch.device = "cpu"
) -> Float32[Tensor, "t h w"]:
    """Renders depth alone: what :func:`render` gives of it, at a tenth of the cost.

    Args:
        track: What to render.
        size: As in :func:`render`.
        device: Where to compute; the result stays there.

    Returns:
        Depth along the camera's axis, metres.

    Raises:
        UsageError: As :func:`render`.
        DataError: As :func:`render`.
    """
    height, width = target_size([track], size)
    check(track)
    grid, matrix = Grid(height, width, 1), intrinsics(track, height, width)
    chunks = _chunks(tabulate([track], [matrix]), grid, None, device)
    return torch.cat([_lay_out(chunk, trace(chunk).depth[None])[..., 0] for chunk in chunks])


def _colour_all(
    tracks: Sequence[Track],
    grid: Grid,
    chunk: int | None,
    device: str | torch.device,
    *,
    cull: bool,
) -> Tensor:
    tables = tabulate(tracks, [intrinsics(t, grid.height, grid.width) for t in tracks])
    shape = (len(tracks) * tracks[0].frames, grid.height, grid.width, 3)
    out = torch.empty(shape, dtype=torch.uint8, device=device)
    start = 0
    for part in _chunks(tables, grid, chunk, device, cull=cull):
        out[start : start + part.frames] = _develop(part, colours(part, trace(part)))
        start += part.frames
    return out.view(len(tracks), -1, *shape[1:])


def _chunks(
    tables: Tables,
    grid: Grid,
    chunk: int | None,
    device: str | torch.device,
    *,
    cull: bool = True,
) -> Iterator[Chunk]:
    place, frames = torch.device(device), len(tables.views.clip)
    rays = _RAYS["cpu" if place.type == "cpu" else "other"]
    step = chunk or max(1, rays // (grid.tiles * grid.lanes))
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        yield cut(tables, grid, start, stop, cull=cull, device=place)


def _develop(chunk: Chunk, light: Tensor) -> Tensor:
    """Averages linear light over sub-samples, applies gamma 2 and lays tiles out as pictures."""
    samples = chunk.grid.supersample**2
    pixels = light.view(3, len(light[0]), samples, -1)
    mean = pixels[:, :, 0]
    for sample in range(1, samples):
        mean = mean + pixels[:, :, sample]
    level = root((mean * (1 / samples)).clamp_(0, 1)).mul_(255).round_().to(torch.uint8)
    return _lay_out(chunk, level)


def _lay_out(chunk: Chunk, values: Tensor) -> Tensor:
    """Turns ``[channel, tile, pixel]`` into ``[frame, height, width, channel]``."""
    grid = chunk.grid
    (rows, columns), side = grid.shape, grid.side
    tiled = values.reshape(-1, chunk.frames, rows, columns, side, side)
    whole = tiled.permute(1, 2, 4, 3, 5, 0).reshape(
        chunk.frames, rows * side, columns * side, len(values)
    )
    return whole[:, : grid.height, : grid.width].contiguous()


def _truth(chunk: Chunk) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Depth, segmentation, normals, visible and amodal counts of a chunk of one track's frames."""
    hits = trace(chunk)
    device = hits.depth.device
    slot = torch.from_numpy(chunk.slot).to(device)
    label = torch.cat([torch.zeros(chunk.walls, dtype=torch.int64, device=device), 1 + slot])
    ids = label[hits.surface.to(torch.int64)].to(torch.uint8)
    visible, amodal = _count(chunk, hits, slot)
    return (
        _lay_out(chunk, hits.depth[None])[..., 0],
        _lay_out(chunk, ids[None])[..., 0],
        _lay_out(chunk, normals(chunk, hits)),
        visible,
        amodal,
    )


def _count(chunk: Chunk, hits: Hits, slot: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels of each frame and slot: seen, and in front of the room whatever else is there."""
    grid = chunk.grid
    x, y = ((chunk.corner[k, :, None] + chunk.lane[k]) for k in range(2))
    inside = (x < grid.width) & (y < grid.height)
    kept = inside[chunk.tile % grid.tiles]
    seen = (hits.surface[chunk.tile] == (chunk.placement + chunk.walls)[:, None]) & kept
    bare = (hits.alone < hits.room[chunk.tile]) & kept
    slots = int(chunk.slot.max()) + 1 if len(chunk.slot) else 0
    cell = (chunk.home * slots + slot)[chunk.placement]
    counts = torch.zeros(2, chunk.frames * slots, dtype=torch.int64, device=cell.device)
    counts[0].index_add_(0, cell, seen.sum(1))
    counts[1].index_add_(0, cell, bare.sum(1))
    visible, amodal = counts.view(2, chunk.frames, slots)
    return visible, amodal
