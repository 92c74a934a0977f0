"""Do latents of one place stay alike as the camera goes round it?

Each token of one latent step looks for its nearest neighbour, by the cosine of latents less what
they share with those of other scenes, among all tokens of another step; found is right within a
token and a half of where true depth and poses say that its surface is seen again. Only tokens that
have moved by more count, or latents that tell where in the picture they are would find everything
that stays. As Probe3D does it (El Banani et al. 2024, arXiv 2404.08636).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.suite import Row
from worldbench.suites.view_geometry import View, patch_of, view_angles

ANGLES = (0, 30, 60, 90, 120)
"""Edges of the groups of angles between the directions of view, in degrees."""

NEAR = 1.5
"""Tokens between what is found and what is right; places lie between centres."""

_FEWEST = 8  # tokens seen again, without which a pair says little


def recall_by_angle(view: View, tokens: Float[Tensor, "s h w d"], stride: int) -> list[Row]:
    """Returns the share of tokens found again, by angle of view, and what chance would find.

    Args:
        view: The truth.
        tokens: Latents of the whole clip, less what is shared; a step stands for its first frame.
        stride: Frames per latent step.
    """
    steps, rows, columns = tokens.shape[:3]
    pairs = [(i, j) for i in range(steps) for j in range(i + 1, steps)]
    patch = patch_of(view.size, rows, columns)
    if not pairs or patch is None:
        return []
    one, other = ([pair[k] * stride for pair in pairs] for k in range(2))
    again = view.again(one, other, patch, NEAR)
    angles = view_angles(view.cameras, one, other)
    flat = tokens.flatten(1, 2).double()
    directions = torch.nn.functional.normalize(flat, dim=-1)
    y, x = torch.meshgrid(
        torch.arange(rows, device=flat.device),
        torch.arange(columns, device=flat.device),
        indexing="ij",
    )
    centres = torch.stack([x, y], dim=-1).flatten(0, 1) + 0.5
    found: dict[int, list[tuple[float, float, int]]] = {}
    for (i, j), places, mask, angle in zip(pairs, again.places, again.mask, angles, strict=True):
        kept = mask.flatten()
        if int(kept.sum()) < _FEWEST or not ANGLES[0] <= float(angle) < ANGLES[-1]:
            continue
        nearest = (directions[i][kept] @ directions[j].T).argmax(dim=1)
        right = places.flatten(0, 1)[kept]
        near = (centres[None] - right[:, None]).norm(dim=-1) <= NEAR
        hit = near.gather(1, nearest[:, None]).double().mean()
        group = max(edge for edge in ANGLES if edge <= float(angle))
        chance = near.double().mean()
        found.setdefault(group, []).append((float(hit), float(chance), int(kept.sum())))
    return [
        {
            "role": "correspondence",
            "angle": group,
            "recall": sum(hit for hit, _, _ in some) / len(some),
            "chance": sum(chance for _, chance, _ in some) / len(some),
            "tokens": sum(count for _, _, count in some),
        }
        for group, some in sorted(found.items())
    ]
