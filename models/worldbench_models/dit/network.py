"""The network: a diffusion transformer over 2 × 8 × 8 patches of a clip (design §11).

Notable:
- every latent step has its own noise level: a clean prefix is a level of 1, so one network foresees
  from any prefix (diffusion forcing: Chen et al. 2024, arXiv 2407.01392)
- x-prediction: patches have 384 values and the network 320 channels; noise and velocity do not fit
  through, clean patches do, since they lie on a low-dimensional manifold
- one adaLN for all blocks, with a table per block (PixArt-α: Chen et al. 2023, arXiv 2310.00426),
  computed once per latent step instead of once per token
- gates and the output layer start at zero: at first every block passes its input on
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worldbench_models.blocks import Attention, Size, SwiGLU, init_linear, rms_norm
from worldbench_models.patches import GRID, VALUES
from worldbench_models.positions import Rotation, fixed_code, grid_positions, rotation

_LEVEL_CHANNELS = 128


class Block(nn.Module):
    """Attention and MLP, each between a modulated norm and a gate."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.attention = Attention(size)
        self.mlp = SwiGLU(size)
        self.table = nn.Parameter(torch.zeros(6, size.width))

    def forward(
        self,
        x: Float[Tensor, "b n width"],
        shared: Float[Tensor, "b t 6 width"],
        rotation: Rotation,
        given: int = 0,
    ) -> Float[Tensor, "b m width"]:
        """Maps tokens to tokens.

        Args:
            x: Tokens.
            shared: What all blocks know of the noise levels.
            rotation: Where the tokens are.
            given: Latent steps at the start that others look at but that nobody asks for; m counts
                the tokens after them.
        """
        table = shared + self.table
        shift, scale, gate = table[:, :, :3].unbind(2)
        first = x.shape[1] // shared.shape[1] * given
        update = self.attention(modulated(x, shift, scale), rotation, first=first)
        x = gated(x[:, first:], gate[:, given:], update)
        shift, scale, gate = table[:, given:, 3:].unbind(2)
        return gated(x, gate, self.mlp(modulated(x, shift, scale)))


class DiT(nn.Module):
    """Estimates clean patches from noisy ones.

    Args:
        size: Width, depth, head and hidden channels.
    """

    code: Float[Tensor, "n width"]
    cos: Float[Tensor, "n 1 c"]
    sin: Float[Tensor, "n 1 c"]

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.width
        self.size = size
        self.patch_in = nn.Linear(VALUES, width)
        self.level_in = nn.Sequential(
            nn.Linear(_LEVEL_CHANNELS, _LEVEL_CHANNELS),
            nn.SiLU(),
            nn.Linear(_LEVEL_CHANNELS, _LEVEL_CHANNELS),
            nn.SiLU(),
        )
        self.shared = nn.Linear(_LEVEL_CHANNELS, 6 * width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
        self.table_out = nn.Parameter(torch.zeros(2, width))
        self.patch_out = nn.Linear(width, VALUES)
        self.apply(init_linear)
        nn.init.zeros_(self.shared.weight)
        nn.init.zeros_(self.patch_out.weight)
        # Kept for the usual grid: a compiled network would compute cosines anew in every kernel.
        for name, value in _placed(size, GRID, None).items():
            self.register_buffer(name, value, persistent=False)

    def forward(
        self, patches: Float[Tensor, "b t h w p"], levels: Float[Tensor, "b t"], given: int = 0
    ) -> Float[Tensor, "b f h w p"]:
        """Estimates clean patches.

        Args:
            patches: Noisy patches z = t·x + (1 − t)·ε of values in [-1, 1].
            levels: t of each latent step: 1 is clean, 0 is noise.
            given: Latent steps at the start whose estimates nobody asks for, < t. The last block
                then computes no more of them than what the others look at.

        Returns:
            The estimates of the f = t − given latent steps after them, float32.
        """
        x, shared = self._through(patches, levels, len(self.blocks), given=given)
        shift, scale = (shared[:, given:, :2] + self.table_out).unbind(2)
        out: Tensor = self.patch_out(modulated(x, shift, scale))
        return out.float().reshape(patches[:, given:].shape)

    def features(
        self, patches: Float[Tensor, "b t h w p"], levels: Float[Tensor, "b t"], depth: int
    ) -> Float[Tensor, "b t h w width"]:
        """Returns the tokens after ``depth`` blocks, normed: latents for probes and read-outs."""
        return self.features_at(patches, levels, (depth,))[:, 0]

    def features_at(
        self,
        patches: Float[Tensor, "b t h w p"],
        levels: Float[Tensor, "b t"],
        depths: Sequence[int],
    ) -> Float[Tensor, "b depths t h w width"]:
        """Returns :meth:`features` after several numbers of blocks, in one pass."""
        seen: dict[int, Tensor] = {}

        def look(depth: int, x: Tensor) -> None:
            if depth in depths:
                seen[depth] = rms_norm(x).reshape(*patches.shape[:4], -1)

        self._through(patches, levels, max(depths), look)
        return torch.stack([seen[depth] for depth in depths], dim=1)

    def _through(
        self,
        patches: Float[Tensor, "b t h w p"],
        levels: Float[Tensor, "b t"],
        depth: int,
        look: Callable[[int, Tensor], None] | None = None,
        given: int = 0,
    ) -> tuple[Float[Tensor, "b m width"], Float[Tensor, "b t 6 width"]]:
        grid = tuple(patches.shape[1:4])
        usual = {"code": self.code, "cos": self.cos, "sin": self.sin}
        placed = usual if grid == GRID else _placed(self.size, grid, patches.device)
        x = self.patch_in(patches.flatten(1, 3))
        x = x + placed["code"].to(x.dtype)
        told: Tensor = self.shared(self.level_in(level_code(levels)))
        shared = told.float().reshape(*levels.shape, 6, -1)
        turned = (placed["cos"], placed["sin"])
        for i in range(depth + 1):
            if i:
                x = self.blocks[i - 1](x, shared, turned, given if i == depth else 0)
            if look is not None:
                look(i, x)
        return x, shared


def _placed(
    size: Size, grid: tuple[int, ...], device: torch.device | None
) -> dict[str, Float[Tensor, "..."]]:
    """Returns all that follows from where the tokens of a grid are."""
    steps, rows, columns = grid
    positions = grid_positions(steps, rows, columns, device)
    cos, sin = rotation(positions, size.head)
    return {"code": fixed_code(positions, size.width), "cos": cos, "sin": sin}


def modulated(
    x: Float[Tensor, "b n c"], shift: Float[Tensor, "b t c"], scale: Float[Tensor, "b t c"]
) -> Float[Tensor, "b n c"]:
    """Norms tokens, then scales and shifts them by their latent step's modulation."""
    normed = _by_step(rms_norm(x), shift.shape[1])
    moved = torch.addcmul(shift[:, :, None], normed, 1 + scale[:, :, None])
    return moved.flatten(1, 2).to(x.dtype)


def gated(
    x: Float[Tensor, "b n c"], gate: Float[Tensor, "b t c"], update: Float[Tensor, "b n c"]
) -> Float[Tensor, "b n c"]:
    """Adds an update to tokens, scaled by their latent step's gate."""
    added = _by_step(update, gate.shape[1]) * gate[:, :, None]
    return x + added.flatten(1, 2).to(x.dtype)


def _by_step(x: Float[Tensor, "b n c"], steps: int) -> Float[Tensor, "b t s c"]:
    return x.reshape(x.shape[0], steps, -1, x.shape[2])


def level_code(levels: Float[Tensor, "b t"]) -> Float[Tensor, "b t c"]:
    """Returns cosines and sines of a noise level at frequencies from 1 to 1000 radians."""
    half = _LEVEL_CHANNELS // 2
    exponents = torch.arange(half, device=levels.device, dtype=torch.float32) / half
    angles = levels[..., None] * torch.exp(math.log(1000.0) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def parameters(size: Size) -> int:
    """Counts the parameters of a DiT without allocating them."""
    with torch.device("meta"):
        return sum(p.numel() for p in DiT(size).parameters())
