"""What the tracer and the shader look up per frame, per wall and per placement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldbench.data.worlds.pictures.rays import (
    TILT,
    Array,
    Grid,
    Placements,
    Views,
    apply,
    candidate_tiles,
    placements,
    views,
)
from worldbench.data.worlds.track import Track

SKY, FLOOR = 0.7, 0.3
"""Ambient light on a face whose normal has the height z: SKY + FLOOR z, so that faces in shadow
keep their shape."""

_WALLS = np.repeat(np.eye(3), 2, 0) * np.array([1, -1] * 3)[:, None]


@dataclass(frozen=True)
class Tables:
    """All frames of a batch on the host; every table is ``[row, entry]`` float32.

    Attributes:
        views: The frames.
        seen: The placements.
        frame: Per frame: origin, ahead, across, down, low, high (3 each), basis (9).
        wall: Per frame and side: paint (12), ambient and direct share, normal (3).
        aim: Per placement: origin, ahead, across, down in its frame, size (3 each).
        skin: Per placement: turn (9), shift, size (3 each), one-hot of round, box, cylinder (3),
            light in its frame (3), ambient and direct share, paint (12).
        disc: Per placement: its centre in the light's basis, its bounding sphere's radius.
    """

    views: Views
    seen: Placements
    frame: Array
    wall: Array
    aim: Array
    skin: Array
    disc: Array


def tabulate(tracks: Sequence[Track], intrinsics: Sequence[Array]) -> Tables:
    """Computes every table of a batch of tracks of equal length."""
    eye = views(tracks, intrinsics)
    seen = placements(tracks, eye)
    frames, at = len(eye.clip), seen.frame
    low, high = eye.room[:, 0] - eye.origin, eye.room[:, 1] - eye.origin
    basis = eye.basis.reshape(frames, 9)
    local = [
        apply(seen.turn, vector)
        for vector in (eye.origin[at] - seen.centre, eye.ahead[at], eye.across[at], eye.down[at])
    ]
    local[1] += TILT
    shift = -apply(seen.turn, seen.centre)
    light = apply(seen.turn, eye.basis[at, 2]) + TILT
    share = np.stack([eye.ambient, 1 - eye.ambient], 1)
    paint = _paint([t.albedo for t in tracks], [t.texture for t in tracks])[seen.static]
    shape = np.eye(3)[np.array([0, 1, 2, 0])][seen.kind]
    turn = seen.turn.reshape(-1, 9)
    disc = apply(eye.basis[at], seen.centre)
    return Tables(
        views=eye,
        seen=seen,
        frame=_rows(eye.origin, eye.ahead, eye.across, eye.down, low, high, basis),
        wall=_walls(tracks, eye, share),
        aim=_rows(*local, seen.size),
        skin=_rows(turn, shift, _reach(seen), shape, light, share[at], paint),
        disc=_rows(disc, seen.radius[:, None] * 1.001 + 1e-4),
    )


def _rows(*columns: Array) -> Array:
    return np.ascontiguousarray(np.concatenate(columns, 1).T.astype(np.float32))


def _reach(seen: Placements) -> Array:
    """Returns sizes with a sphere as a capsule of no length: both round kinds share normals."""
    return np.where((seen.kind == 0)[:, None], seen.size * [1, 0, 0], seen.size)


def _paint(albedo: Sequence[Array], texture: Sequence[Array]) -> Array:
    """Returns scale, offset, first colour and largest change of colour, 3 each, per surface."""
    colour = np.concatenate(albedo).astype(np.float64)
    pattern = np.concatenate(texture).astype(np.float64)
    change = (colour[:, 1] - colour[:, 0]) * pattern[:, :1]
    return np.concatenate(
        [pattern[:, 1:2] * pattern[:, 2:5], pattern[:, 5:], colour[:, 0], change], 1
    )


def _walls(tracks: Sequence[Track], eye: Views, share: Array) -> Array:
    paint = _paint([t.room_albedo for t in tracks], [t.room_texture for t in tracks])
    paint = paint.reshape(len(tracks), 6, 12)[eye.clip].reshape(-1, 12)
    normal = np.broadcast_to(_WALLS, (len(share), 6, 3))
    towards = np.maximum(apply(normal, eye.basis[:, 2]), 0)
    ambient = share[:, :1] * (SKY + FLOOR * normal[:, :, 2])
    lit = np.stack([ambient, share[:, 1:] * towards], 2)
    return _rows(paint, lit.reshape(-1, 2), normal.reshape(-1, 3))


@dataclass(frozen=True)
class Chunk:
    """Some frames of a batch on the device; surface ids are 6 frame + side, then placements.

    Attributes:
        grid: The tiles of a frame.
        frames: Number of frames.
        cull: Whether tests are skipped that cannot succeed.
        frame: As in :class:`Tables`, as are ``wall``, ``aim``, ``skin`` and ``disc``.
        home: Frame of each placement.
        kinds: Placements of each kind.
        lane: x and y of a tile's rays from its corner, ``[2, lane]``.
        corner: x and y of the tiles of a frame, ``[2, tile]``.
        placement: Of each candidate pair, by slot.
        tile: Of each candidate pair, counted over all frames.
        layers: Bounds of the runs of candidates of one slot, in which every tile is unique.
        candidates: Candidate pairs of each kind.
        slot: Slot of each placement, on the host.
    """

    grid: Grid
    frames: int
    cull: bool
    frame: Tensor
    wall: Tensor
    aim: Tensor
    skin: Tensor
    disc: Tensor
    home: Tensor
    kinds: tuple[Tensor, ...]
    lane: Tensor
    corner: Tensor
    placement: Tensor
    tile: Tensor
    layers: tuple[int, ...]
    candidates: tuple[Tensor, ...]
    slot: Array

    @property
    def walls(self) -> int:
        """Ids below it are walls."""
        return 6 * self.frames


def cut(
    tables: Tables, grid: Grid, start: int, stop: int, *, cull: bool, device: torch.device
) -> Chunk:
    """Moves the frames from ``start`` to ``stop`` to the device, with their candidates."""
    seen = tables.seen
    chosen = np.flatnonzero((seen.frame >= start) & (seen.frame < stop))
    part = Placements(**{name: value[chosen] for name, value in vars(seen).items()})
    home = part.frame - start
    placement, tile = candidate_tiles(part, tables.views, grid, cull=cull)
    slots = np.arange(part.slot[-1] + 2 if len(chosen) else 1)
    kind = part.kind[placement]

    def move(array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    def pixels(pair: tuple[Array, Array]) -> Tensor:
        return move(np.stack(pair).astype(np.float32))

    return Chunk(
        grid=grid,
        frames=stop - start,
        cull=cull,
        frame=move(tables.frame[:, start:stop]),
        wall=move(tables.wall[:, 6 * start : 6 * stop]),
        aim=move(tables.aim[:, chosen]),
        skin=move(tables.skin[:, chosen]),
        disc=move(tables.disc[:, chosen]),
        home=move(home),
        kinds=tuple(move(np.flatnonzero(part.kind == k)) for k in range(4)),
        lane=pixels(grid.offsets()),
        corner=pixels(grid.corners()),
        placement=move(placement),
        tile=move(home[placement] * grid.tiles + tile),
        layers=tuple(np.searchsorted(part.slot[placement], slots).tolist()),
        candidates=tuple(move(np.flatnonzero(kind == k)) for k in range(4)),
        slot=part.slot,
    )
