"""Which rays a picture needs and which of them can meet what: the host's share, in NumPy.

A frame is cut into square tiles of at most 8 × 8 rays. All rays of a tile lie side by side in
memory, so that a tile is one row of a ``[tile, lane]`` tensor: to gather or to write a tile is one
copy, and whatever is constant on it is one number per row. A *placement* is one slot in one frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldbench.data.worlds.track import Track

Array = np.ndarray

TILT = 1e-6
"""Added to directions in a geom's frame, so that none is exactly parallel to a face or an axis;
1 µm per metre, below what float32 resolves at the far wall."""


@dataclass(frozen=True)
class Grid:
    """The regular grid of sub-samples of one frame.

    Attributes:
        height: Rows of pixels.
        width: Columns of pixels.
        supersample: Sub-samples per pixel along each axis.
    """

    height: int
    width: int
    supersample: int

    @property
    def side(self) -> int:
        """Pixels along a tile's side."""
        return max(1, 8 // self.supersample)

    @property
    def shape(self) -> tuple[int, int]:
        """Tiles per column and per row; the last ones may reach beyond the picture."""
        return -(-self.height // self.side), -(-self.width // self.side)

    @property
    def tiles(self) -> int:
        """Tiles per frame."""
        return self.shape[0] * self.shape[1]

    @property
    def lanes(self) -> int:
        """Rays per tile, ordered (sub-row, sub-column, pixel row, pixel column)."""
        return (self.side * self.supersample) ** 2

    def offsets(self) -> tuple[Array, Array]:
        """Returns x and y of a tile's rays from its corner, in pixels, each ``[lane]``."""
        sub = (np.arange(self.supersample) + 0.5) / self.supersample
        along = sub[:, None] + np.arange(self.side)
        full = (self.supersample, self.supersample, self.side, self.side)
        x = np.broadcast_to(along[None, :, None, :], full)
        y = np.broadcast_to(along[:, None, :, None], full)
        return x.reshape(-1), y.reshape(-1)

    def corners(self) -> tuple[Array, Array]:
        """Returns x and y of the tiles' corners, in pixels, each ``[tile]``."""
        y, x = np.divmod(np.arange(self.tiles), self.shape[1])
        return x * self.side, y * self.side


@dataclass(frozen=True)
class Views:
    """What each frame sees through; vectors are in the world, float64, ``[frame, 3]``.

    The ray through (x, y), in pixels, is ``origin + t (ahead + x across + y down)``; its t is the
    depth along the camera's axis.

    Attributes:
        origin: The camera.
        ahead: Direction of the ray through pixel coordinate (0, 0).
        across: Change of direction per pixel to the right.
        down: Change of direction per pixel downwards.
        axes: World-to-camera rotations, ``[frame, 3, 3]``.
        focal: Focal lengths and principal points (fx, fy, cx, cy), ``[frame, 4]``.
        room: Smallest and largest corner, ``[frame, 2, 3]``.
        basis: Two directions across the light and the one towards it, ``[frame, 3, 3]``.
        ambient: Ambient share, ``[frame]``.
        clip: Index of each frame's track.
    """

    origin: Array
    ahead: Array
    across: Array
    down: Array
    axes: Array
    focal: Array
    room: Array
    basis: Array
    ambient: Array
    clip: Array


@dataclass(frozen=True)
class Placements:
    """All slots of all frames, by slot, then by frame, so that a slot's placements are disjoint.

    Attributes:
        frame: Index of the frame.
        slot: Index of the slot in its track.
        static: Index of the slot among those of all tracks.
        kind: Index into ``scene.KINDS``.
        size: As in ``scene.Geom``.
        turn: World-to-geom rotations, ``[placement, 3, 3]``.
        centre: Centres in the world.
        radius: Of the bounding spheres.
    """

    frame: Array
    slot: Array
    static: Array
    kind: Array
    size: Array
    turn: Array
    centre: Array
    radius: Array


def views(tracks: Sequence[Track], intrinsics: Sequence[Array]) -> Views:
    """Gathers the cameras, rooms and lights of all frames of tracks of equal length."""
    frames = tracks[0].frames
    camera = np.concatenate([track.camera_c2w for track in tracks]).astype(np.float64)
    clip = np.repeat(np.arange(len(tracks)), frames)
    matrix = np.stack(intrinsics)[clip]
    fx, fy, cx, cy = (matrix[:, i, j, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    across, down = camera[:, :3, 0] / fx, camera[:, :3, 1] / fy
    light = np.stack([track.light for track in tracks]).astype(np.float64)[clip]
    return Views(
        origin=camera[:, :3, 3],
        ahead=camera[:, :3, 2] - cx * across - cy * down,
        across=across,
        down=down,
        axes=np.swapaxes(camera[:, :3, :3], 1, 2),
        focal=np.concatenate([fx, fy, cx, cy], 1),
        room=np.stack([track.room for track in tracks]).astype(np.float64)[clip],
        basis=_basis(light[:, :3]),
        ambient=light[:, 3],
        clip=clip,
    )


def placements(tracks: Sequence[Track], views: Views) -> Placements:
    """Lists every slot of every frame."""
    counts = np.array([track.slots for track in tracks])[views.clip]
    frame = np.repeat(np.arange(len(counts)), counts)
    slot = np.arange(len(frame)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.cumsum([0, *(track.slots for track in tracks)])
    order = np.argsort(slot, kind="stable")
    frame, slot = frame[order], slot[order]
    static = first[views.clip[frame]] + slot
    kind = np.concatenate([track.kind for track in tracks]).astype(np.int64)[static]
    size = np.concatenate([track.size for track in tracks]).astype(np.float64)[static]
    centre = np.concatenate([track.pos.reshape(-1, 3) for track in tracks])[order]
    quat = np.concatenate([track.rot.reshape(-1, 4) for track in tracks])[order]
    r, h = size[:, 0], size[:, 1]
    radii = np.stack([r, _norm(size), np.sqrt(r * r + h * h), r + h], 1)
    return Placements(
        frame=frame,
        slot=slot,
        static=static,
        kind=kind,
        size=size,
        turn=_inverse_rotation(quat.astype(np.float64)),
        centre=centre.astype(np.float64),
        radius=np.take_along_axis(radii, kind[:, None], 1)[:, 0],
    )


def apply(matrix: Array, vector: Array) -> Array:
    """Multiplies stacks of matrices and vectors, in an order of sums that no batch size changes."""
    out: Array = (
        matrix[..., 0] * vector[..., None, 0]
        + matrix[..., 1] * vector[..., None, 1]
        + matrix[..., 2] * vector[..., None, 2]
    )
    return out


def candidate_tiles(
    seen: Placements, views: Views, grid: Grid, *, cull: bool
) -> tuple[Array, Array]:
    """Pairs each placement with the tiles on which its bounding sphere can be seen.

    Args:
        seen: The placements.
        views: The frames that they stand in.
        grid: The tiles of a frame.
        cull: Whether to leave tiles out at all.

    Returns:
        Index of the placement and of the tile in its frame, by placement.
    """
    if not cull:
        everywhere = np.indices((len(seen.frame), grid.tiles)).reshape(2, -1)
        return everywhere[0], everywhere[1]
    left, right, top, bottom = (
        np.floor(edge / grid.side)[:, None] for edge in _rectangles(seen, views)
    )
    column, row = np.arange(grid.shape[1]), np.arange(grid.shape[0])
    across, down = (column >= left) & (column <= right), (row >= top) & (row <= bottom)
    placement, tile = np.nonzero((down[:, :, None] & across[:, None, :]).reshape(-1, grid.tiles))
    return placement, tile


def _rectangles(seen: Placements, views: Views) -> tuple[Array, Array, Array, Array]:
    """Bounds each placement's sphere on the screen: left, right, top, bottom in pixels.

    The tangents to a circle (c, z) of radius R in the plane of the axis and one screen direction
    have the slopes (c z ± R √(c² + z² − R²)) / (z² − R²).
    """
    at = apply(views.axes[seen.frame], seen.centre - views.origin[seen.frame])
    radius, z = seen.radius * 1.001 + 1e-4, at[:, 2]
    ahead = z - radius > 1e-3
    behind = z + radius <= 0
    square = np.where(ahead, z * z - radius * radius, 1.0)
    focal = views.focal[seen.frame]
    edges = []
    for axis in (0, 1):
        c = at[:, axis]
        reach = radius * np.sqrt(np.maximum(c * c + z * z - radius * radius, 0))
        for sign in (-1, 1):
            pixel = (c * z + sign * reach) / square * focal[:, axis] + focal[:, 2 + axis]
            edge = np.where(ahead, pixel + sign * 0.01, sign * np.inf)
            edges.append(np.where(behind, -sign * np.inf, edge))
    return edges[0], edges[1], edges[2], edges[3]


def _norm(vectors: Array) -> Array:
    x, y, z = np.moveaxis(vectors, -1, 0)
    out: Array = np.sqrt(x * x + y * y + z * z)
    return out


def _basis(light: Array) -> Array:
    w = light / _norm(light)[:, None]
    steep = np.abs(w[:, 2:]) > 0.7
    u = np.cross(np.where(steep, [[1.0, 0, 0]], [[0.0, 0, 1]]), w)
    u /= _norm(u)[:, None]
    return np.stack([u, np.cross(w, u), w], 1)


def _inverse_rotation(quat: Array) -> Array:
    w, x, y, z = np.moveaxis(quat, -1, 0)
    s = 2 / (w * w + x * x + y * y + z * z)
    rows = [
        [1 - s * (y * y + z * z), s * (x * y + w * z), s * (x * z - w * y)],
        [s * (x * y - w * z), 1 - s * (x * x + z * z), s * (y * z + w * x)],
        [s * (x * z + w * y), s * (y * z - w * x), 1 - s * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)
