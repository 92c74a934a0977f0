"""The nearest surface on every ray of a chunk of frames."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worldbench.data.worlds.pictures.intersect import PRIMITIVES, Triple, first_hit, room_hit
from worldbench.data.worlds.pictures.tables import Chunk


@dataclass(frozen=True)
class Hits:
    """What the rays meet; ``[tile, lane]``, tiles counted over all frames of the chunk.

    Attributes:
        depth: Along the camera's axis, metres.
        surface: Surface ids as float32, exact below 2²⁴.
        point: Coordinates in the world, metres.
        room: Depth of the room behind everything.
        alone: Depth of every candidate pair regardless of all others, ``[pair, lane]``.
    """

    depth: Tensor
    surface: Tensor
    point: Triple
    room: Tensor
    alone: Tensor


def trace(chunk: Chunk) -> Hits:
    """Casts every ray of the chunk."""
    grid = chunk.grid
    rows = chunk.frames * grid.tiles
    origin, direction, depth, surface = _cast_on_room(chunk)
    depth, surface = depth.view(rows, grid.lanes), surface.view(rows, grid.lanes)
    alone, room = _cast_on_candidates(chunk), depth.clone()
    for begin, end in zip(chunk.layers[:-1], chunk.layers[1:], strict=True):
        # Within a slot every tile is unique: no two writes meet, and of equals the first slot wins.
        tile, found = chunk.tile[begin:end], alone[begin:end]
        best, held = depth.index_select(0, tile), surface.index_select(0, tile)
        nearer = found.lt(best).to(found.dtype)
        own = (chunk.placement[begin:end, None] + chunk.walls).to(found.dtype)
        depth.index_copy_(0, tile, torch.minimum(best, found))
        surface.index_copy_(0, tile, held.add_(nearer.mul_(own - held)))
    flat = depth.view(chunk.frames, -1)
    x, y, z = (
        (flat * d).add_(o).view(rows, grid.lanes) for o, d in zip(origin, direction, strict=True)
    )
    return Hits(depth, surface, (x, y, z), room, alone)


def _cast_on_room(chunk: Chunk) -> tuple[Triple, Triple, Tensor, Tensor]:
    """Returns origins, directions, depths and walls, ``[frame, tile × lane]``."""
    x, y = (
        (corner[:, None] + lane).view(1, -1)
        for corner, lane in zip(chunk.corner, chunk.lane, strict=True)
    )
    row = chunk.frame[:, :, None]
    dx, dy, dz = (
        (row[6 + axis] * x).add_(row[3 + axis]).add_(row[9 + axis] * y) for axis in range(3)
    )
    low, high = (row[12], row[13], row[14]), (row[15], row[16], row[17])
    depth, side = room_hit(low, high, (dx, dy, dz))
    first = torch.arange(0, chunk.walls, 6, device=depth.device, dtype=depth.dtype)
    return (row[0], row[1], row[2]), (dx, dy, dz), depth, side.add_(first[:, None])


def _cast_on_candidates(chunk: Chunk) -> Tensor:
    """Returns each candidate pair's depths, at least ``FAR`` on a miss, ``[pair, lane]``."""
    pairs, lanes = len(chunk.placement), chunk.grid.lanes
    out = torch.empty(pairs, lanes, device=chunk.aim.device, dtype=chunk.aim.dtype)
    lane_x, lane_y = chunk.lane[0], chunk.lane[1]
    for meet, chosen in zip(PRIMITIVES, chunk.candidates, strict=True):
        if not len(chosen):
            continue
        row = chunk.aim.index_select(1, chunk.placement[chosen])
        corner = chunk.corner.index_select(1, chunk.tile[chosen] % chunk.grid.tiles)
        dx, dy, dz = (
            (row[6 + axis][:, None] * lane_x)
            .add_(row[9 + axis][:, None] * lane_y)
            .add_(_start(row, corner, axis)[:, None])
            for axis in range(3)
        )
        ox, oy, oz, sx, sy, sz = (row[k][:, None] for k in (0, 1, 2, 12, 13, 14))
        out.index_copy_(0, chosen, first_hit(meet((ox, oy, oz), (dx, dy, dz), (sx, sy, sz))))
    return out


def _start(row: Tensor, corner: Tensor, axis: int) -> Tensor:
    """One component of the direction through a tile's corner."""
    return row[3 + axis] + row[6 + axis] * corner[0] + row[9 + axis] * corner[1]
