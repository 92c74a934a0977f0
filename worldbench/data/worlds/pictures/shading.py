"""Normals, shadows and colours of what the rays have met."""

import torch
from torch import Tensor

from worldbench.data.worlds.pictures.intersect import PRIMITIVES, Triple, blocks, root
from worldbench.data.worlds.pictures.noise import blend
from worldbench.data.worlds.pictures.tables import FLOOR, SKY, Chunk
from worldbench.data.worlds.pictures.trace import Hits


def visibility(chunk: Chunk, hits: Hits) -> Tensor:
    """Tells which hits the light reaches: 1, or 0 behind another slot, ``[tile, lane]``.

    Seen from the light, a tile's hits lie within a box, and a geom within the cylinder that its
    bounding sphere sweeps away from the light; only where these meet are rays tested.
    """
    frames, lanes = chunk.frames, chunk.grid.lanes
    basis = chunk.frame[18:, :, None]
    x, y, z = (part.view(frames, -1) for part in hits.point)
    u, v, w = (
        (x * basis[k]).add_(y * basis[k + 1]).add_(z * basis[k + 2]).view(-1, lanes)
        for k in (0, 3, 6)
    )
    edges = (u.amin(1), u.amax(1), v.amin(1), v.amax(1), w.amin(1))  # aminmax is ten times slower
    bounds = [edge.view(frames, -1) for edge in edges]
    shade = torch.zeros_like(hits.depth)
    for kind, members in enumerate(chunk.kinds):
        if not len(members):
            continue
        which, tile = _swept(chunk, members, bounds)
        place = members[which]
        row = tile + chunk.home[place] * chunk.grid.tiles
        if kind == 0:
            cu, cv, cw = chunk.disc[:3].index_select(1, place)[:, :, None]
            radius = chunk.skin[12].index_select(0, place)[:, None]
            du, dv = u.index_select(0, row).sub_(cu), v.index_select(0, row).sub_(cv)
            hit = du.mul_(du).add_(dv.mul_(dv)).lt(radius * radius) & (w.index_select(0, row) < cw)
        else:
            skin = chunk.skin.index_select(1, place)[:, :, None]
            light, size = (skin[18], skin[19], skin[20]), (skin[12], skin[13], skin[14])
            point = _local(skin, _select(hits.point, row))
            hit = blocks(PRIMITIVES[kind](point, light, size))
        own = (place + chunk.walls)[:, None]
        other = hits.surface.index_select(0, row) != own
        shade.index_add_(0, row, (hit & other).to(shade.dtype))
    return shade.neg_().add_(1).clamp_(min=0)


def _swept(chunk: Chunk, members: Tensor, bounds: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Pairs placements with the tiles of their frame on which their shadow can fall."""
    left, right, low, high, deepest = (edge.index_select(0, chunk.home[members]) for edge in bounds)
    cu, cv, cw, radius = chunk.disc.index_select(1, members)[:, :, None]
    du = torch.maximum(left - cu, cu - right).clamp_(min=0)
    dv = torch.maximum(low - cv, cv - high).clamp_(min=0)
    near = (du * du).add_(dv * dv).le(radius * radius) & (deepest < cw + radius)
    if not chunk.cull:
        near.fill_(True)
    which, tile = near.nonzero(as_tuple=True)
    return which, tile


def _select(parts: Triple, index: Tensor) -> Triple:
    x, y, z = (part.index_select(0, index) for part in parts)
    return x, y, z


def _local(skin: Tensor, point: Triple) -> Triple:
    """Turns points of the world into a geom's frame."""
    x, y, z = (
        (skin[k] * point[0])
        .add_(skin[k + 1] * point[1])
        .add_(skin[k + 2] * point[2])
        .add_(skin[9 + k // 3])
        for k in (0, 3, 6)
    )
    return x, y, z


def _normal(skin: Tensor, point: Triple) -> Triple:
    """Outward unit normal at points of a surface, in the geom's frame.

    The face is the one that the point is nearest to: which primitive it is, one-hot rows tell.
    """
    x, y, z = point
    sx, sy, sz, ball, cube, tube = skin[12:18]
    height = torch.maximum(torch.minimum(z, sy), -sy)
    ring = root(x * x + y * y).clamp_(min=1e-12)
    ax, ay, az = x.abs() - sx, y.abs() - sy, z.abs() - sz
    on_x = (ax.ge(ay) & ax.ge(az)).to(x.dtype)
    on_y = ay.ge(az).to(x.dtype).mul_(1 - on_x)
    on_z = 1 - on_x - on_y
    on_side = (ring - sx).ge(z.abs() - sy).to(x.dtype)
    around = ball / sx + tube * on_side / ring
    cap = on_z * cube + (1 - on_side) * tube
    nx = x * around + cube * on_x.copysign(x)
    ny = y * around + cube * on_y.copysign(y)
    return nx, ny, (z - height) * ball / sx + cap.copysign(z)


def _mix(paint: Tensor, point: Triple, light: Tensor) -> Triple:
    """Colour of a pattern at points of its frame, times the light on it."""
    qx, qy, qz = ((paint[k] * point[k]).add_(paint[3 + k]) for k in range(3))
    share = blend((qx, qy, qz))
    r, g, b = ((paint[9 + k] * share).add_(paint[6 + k]).mul_(light) for k in range(3))
    return r, g, b


def _wall_colour(wall: Tensor, point: Triple, visible: Tensor) -> Triple:
    return _mix(wall, point, (wall[13] * visible).add_(wall[12]))


def _skin_colour(skin: Tensor, point: Triple, visible: Tensor) -> Triple:
    local = _local(skin, point)
    nx, ny, nz = _normal(skin, local)
    facing = (nx * skin[18] + ny * skin[19] + nz * skin[20]).clamp_(min=0)
    upward = nx * skin[2] + ny * skin[5] + nz * skin[8]
    light = skin[21] * (upward * FLOOR + SKY) + skin[22] * facing * visible
    return _mix(skin[23:], local, light)


def colours(chunk: Chunk, hits: Hits) -> Tensor:
    """Returns the linear light of every ray, ``[3, tile, lane]``.

    Most tiles lie on one wall altogether: there, everything but the pattern is one number.
    """
    visible = visibility(chunk, hits)
    out = torch.empty(3, *hits.depth.shape, device=visible.device, dtype=visible.dtype)
    least, most = hits.surface.amin(1), hits.surface.amax(1)
    plain = least.eq(most) & least.lt(chunk.walls)
    rows = plain.nonzero()[:, 0]
    wall = chunk.wall.index_select(1, least[rows].to(torch.int32))[:, :, None]
    colour = _wall_colour(wall, _select(hits.point, rows), visible.index_select(0, rows))
    for channel, values in zip(out, colour, strict=True):
        channel.index_copy_(0, rows, values)
    on_wall = hits.surface.lt(chunk.walls)
    x, y, z = (part.view(-1) for part in hits.point)
    for table, first, chosen, shader in (
        (chunk.wall, 0, on_wall & ~plain[:, None], _wall_colour),
        (chunk.skin, chunk.walls, ~on_wall, _skin_colour),
    ):
        index = chosen.view(-1).nonzero()[:, 0]
        entry = hits.surface.view(-1).index_select(0, index).to(torch.int32).sub_(first)
        seen = visible.view(-1).index_select(0, index)
        colour = shader(table.index_select(1, entry), _select((x, y, z), index), seen)
        for channel, values in zip(out.view(3, -1), colour, strict=True):
            channel.index_copy_(0, index, values)
    return out


def normals(chunk: Chunk, hits: Hits) -> Tensor:
    """Returns unit normals in the world, ``[3, tile, lane]``."""
    out = torch.empty(3, *hits.depth.shape, device=hits.depth.device, dtype=hits.depth.dtype)
    flat, on_wall = out.view(3, -1), hits.surface.lt(chunk.walls).view(-1)
    surface = hits.surface.view(-1)
    index = on_wall.nonzero()[:, 0]
    flat[:, index] = chunk.wall[14:].index_select(1, surface[index].to(torch.int32))
    index = (~on_wall).nonzero()[:, 0]
    skin = chunk.skin.index_select(1, surface[index].to(torch.int32).sub_(chunk.walls))
    x, y, z = (part.view(-1) for part in hits.point)
    nx, ny, nz = _normal(skin, _local(skin, _select((x, y, z), index)))
    for axis in range(3):
        flat[axis, index] = nx * skin[axis] + ny * skin[3 + axis] + nz * skin[6 + axis]
    return out
