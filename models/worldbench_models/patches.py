"""Between clips and tokens: a clip is cut into patches of 2 frames × 8 × 8 pixels."""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

PATCH = (2, 8, 8)
"""Frames, rows and columns of a patch; the first is the temporal stride of every model here."""

FRAMES, FPS, RESOLUTION = 16, 8.0, (64, 64)
"""The clips that every model here is trained on."""

FORMAT = {"frames": FRAMES, "fps": FPS, "resolution": list(RESOLUTION)}
"""The same, as the headers of weight files say it."""

GRID = (FRAMES // PATCH[0], RESOLUTION[0] // PATCH[1], RESOLUTION[1] // PATCH[2])
"""Their latent steps, rows and columns of tokens."""

VALUES = PATCH[0] * PATCH[1] * PATCH[2] * 3
"""Values in a patch."""


def patchify(video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b t2 h8 w8 p"]:
    """Cuts a video into patches, ``b t/2 h/8 w/8 384``; a patch is (frame, row, column, colour).

    Raises:
        ValueError: If the video is not a multiple of the patch.
    """
    b, t, c, h, w = video.shape
    if t % PATCH[0] or h % PATCH[1] or w % PATCH[2]:
        raise ValueError(f"frames, height and width {t, h, w} are no multiples of {PATCH}")
    grid = video.reshape(
        b, t // PATCH[0], PATCH[0], c, h // PATCH[1], PATCH[1], w // PATCH[2], PATCH[2]
    )
    return grid.permute(0, 1, 4, 6, 2, 5, 7, 3).flatten(4)


def unpatchify(patches: Float[Tensor, "b t2 h8 w8 p"]) -> Float[Tensor, "b t 3 h w"]:
    """Puts patches together again; the inverse of :func:`patchify`."""
    b, t, h, w, _ = patches.shape
    grid = patches.reshape(b, t, h, w, *PATCH, 3)
    return grid.permute(0, 1, 4, 7, 2, 5, 3, 6).reshape(
        b, t * PATCH[0], 3, h * PATCH[1], w * PATCH[2]
    )


def in_mirror(
    clips: UInt8[Tensor, "b t h w 3"], chosen: Bool[Tensor, " b"]
) -> UInt8[Tensor, "b t h w 3"]:
    """Shows the chosen clips in the mirror: the worlds have no preferred side."""
    return torch.where(chosen[:, None, None, None, None], clips.flip(3), clips)


def patchify_bytes(clips: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b t2 h8 w8 p"]:
    """Cuts stored clips into patches of values in [-1, 1]."""
    return patchify(clips.movedim(-1, 2).float() / 127.5 - 1)
