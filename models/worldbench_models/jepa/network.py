"""The network: an encoder of patches, and a predictor of what the encoder would make of others.

V-JEPA (Bardes et al. 2024, arXiv 2404.08471), as small as design §11 has it. Notable:
- where a token is in time is told by rotary angles alone, which depend on differences: a prefix or
  a suffix encoded by itself is encoded at its true positions. Its row and column are added to it as
  well: pooled latents can tell where
- latents are layer-normed without gain, context and target alike: what is predicted can take the
  place of what was seen, so rollouts go on beyond a window
- sequences of several lengths go through as one row of tokens (:data:`~worldbench_models.blocks.
  Groups`): the contexts of all masks of a step in one pass
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from worldbench_models.blocks import SIZES, Attention, Groups, Size, SwiGLU, init_linear, rms_norm
from worldbench_models.patches import GRID, VALUES
from worldbench_models.positions import Rotation, fixed_code, grid_positions, rotation

KINDS = ("short", "long", "causal")
"""Kinds of masks; the predictor has a token for what is masked of each."""

CAUSAL = KINDS.index("causal")


@dataclass(frozen=True)
class Shape:
    """How large a JEPA is.

    Attributes:
        encoder: The encoder.
        predictor: The predictor; its heads have as many channels as the encoder's.
    """

    encoder: Size
    predictor: Size


SHAPES = {
    "xs": Shape(SIZES["xs"], Size(96, 2, 2, 64, 160)),
    "s": Shape(SIZES["s"], Size(192, 2, 3, 64, 304)),
    "m": Shape(SIZES["m"], Size(256, 3, 4, 64, 400)),
    "l": Shape(SIZES["l"], Size(384, 4, 6, 64, 576)),
}
"""By the same names as the DiT's sizes, whose encoder of the same size is the same stack."""


class Places(NamedTuple):
    """Where tokens are.

    Attributes:
        code: What is added to tokens of the encoder: row and column.
        hint: The same for the predictor's masked tokens.
        rotation: Step, row and column, for attention.
    """

    code: Float[Tensor, "*b n width"]
    hint: Float[Tensor, "*b n narrow"]
    rotation: Rotation

    def at(self, index: Int64[Tensor, "*b k"]) -> "Places":
        """Returns the places of some tokens."""
        cos, sin = self.rotation
        return Places(self.code[index], self.hint[index], (cos[index], sin[index]))


class Block(nn.Module):
    """Attention and MLP, each after a norm and added to what it read."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.attention = Attention(size)
        self.mlp = SwiGLU(size)

    def forward(
        self, x: Float[Tensor, "*b n width"], turned: Rotation, groups: Groups | None = None
    ) -> Float[Tensor, "*b n width"]:
        """Maps tokens to tokens."""
        x = x + self.attention(rms_norm(x).to(x.dtype), turned, groups)
        out: Tensor = x + self.mlp(rms_norm(x).to(x.dtype))
        return out


class Encoder(nn.Module):
    """Maps patches to latents.

    Args:
        size: Width, depth, head and hidden channels.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.patch_in = nn.Linear(VALUES, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))

    def forward(
        self,
        patches: Float[Tensor, "*b n p"],
        places: Places,
        groups: Groups | None = None,
        depth: int | None = None,
    ) -> Float[Tensor, "*b n width"]:
        """Encodes patches, of values in [-1, 1].

        Args:
            patches: Sequences, or with ``groups`` all of their tokens in a row.
            places: Where the tokens are.
            groups: What the row is made of.
            depth: Blocks to go through; all if None.

        Returns:
            Latents of mean 0 and variance 1, float32.
        """
        depth = len(self.blocks) if depth is None else depth
        return self.at(patches, places, (depth,), groups)[0]

    def at(
        self,
        patches: Float[Tensor, "*b n p"],
        places: Places,
        depths: Sequence[int],
        groups: Groups | None = None,
    ) -> list[Float[Tensor, "*b n width"]]:
        """Returns what :meth:`forward` gives after several numbers of blocks, in one pass."""
        x = self.patch_in(patches)
        x = x + places.code.to(x.dtype)
        seen: dict[int, Tensor] = {}
        for i in range(max(depths) + 1):
            x = self.blocks[i - 1](x, places.rotation, groups) if i else x
            if i in depths:
                seen[i] = normed(x)
        return [seen[depth] for depth in depths]


class Predictor(nn.Module):
    """Foresees latents of masked tokens from latents of seen ones.

    Args:
        size: Of itself.
        width: Channels of a latent.
    """

    def __init__(self, size: Size, width: int) -> None:
        super().__init__()
        self.latent_in = nn.Linear(width, size.width)
        self.masked = nn.Parameter(torch.zeros(len(KINDS), size.width))
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
        self.latent_out = nn.Linear(size.width, width)

    def forward(
        self,
        tokens: Float[Tensor, "*b n narrow"],
        turned: Rotation,
        groups: Groups | None = None,
    ) -> Float[Tensor, "*b n narrow"]:
        """Maps sequences of seen (:meth:`seen`) and masked (:meth:`asked`) tokens to the same."""
        for block in self.blocks:
            tokens = block(tokens, turned, groups)
        return tokens

    def seen(self, latents: Float[Tensor, "*b n width"]) -> Float[Tensor, "*b n narrow"]:
        """Makes the predictor's tokens of latents."""
        tokens: Tensor = self.latent_in(latents)
        return tokens

    def asked(
        self, kind: int, hint: Float[Tensor, "*b n narrow"], like: Tensor
    ) -> Float[Tensor, "*b n narrow"]:
        """Makes the tokens that ask for what a mask of this kind hides, in the dtype of others."""
        return (self.masked[kind] + hint).to(like.dtype)

    def told(self, tokens: Float[Tensor, "*b n narrow"]) -> Float[Tensor, "*b n width"]:
        """Reads latents off tokens, float32."""
        latents: Tensor = self.latent_out(rms_norm(tokens).to(tokens.dtype))
        return latents.float()


class JEPA(nn.Module):
    """Encoder and predictor.

    Args:
        shape: Their sizes.
    """

    code: Float[Tensor, "n width"]
    hint: Float[Tensor, "n narrow"]
    cos: Float[Tensor, "n 1 c"]
    sin: Float[Tensor, "n 1 c"]

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape.encoder)
        self.predictor = Predictor(shape.predictor, shape.encoder.width)
        self.apply(init_linear)
        for part, size in ((self.encoder, shape.encoder), (self.predictor, shape.predictor)):
            for block in part.blocks:
                assert isinstance(block, Block)
                # So that a stack of any depth starts with outputs as large as its input.
                for last in (block.attention.out, block.mlp.out):
                    nn.init.normal_(last.weight, std=(2 * size.depth * last.in_features) ** -0.5)
        nn.init.normal_(self.predictor.masked, std=0.02)
        # Kept for the usual grid: a compiled network would compute cosines anew in every kernel.
        usual = placed(shape, GRID)
        self.register_buffer("code", usual.code, persistent=False)
        self.register_buffer("hint", usual.hint, persistent=False)
        self.register_buffer("cos", usual.rotation[0], persistent=False)
        self.register_buffer("sin", usual.rotation[1], persistent=False)

    def places(self, grid: tuple[int, int, int]) -> Places:
        """Returns the places of a grid's tokens: latent steps, rows, columns."""
        if grid[1:] == GRID[1:] and grid[0] <= GRID[0]:
            count = grid[0] * grid[1] * grid[2]
            turned = (self.cos[:count], self.sin[:count])
            return Places(self.code[:count], self.hint[:count], turned)
        return placed(self.shape, grid, self.code.device)

    def encode(
        self, patches: Float[Tensor, "b t h w p"], depth: int | None = None
    ) -> Float[Tensor, "b t h w width"]:
        """Returns the latents of a clip, or what they are after ``depth`` blocks; float32."""
        b, steps, rows, columns, _ = patches.shape
        latents: Tensor = self.encoder(
            patches.flatten(1, 3), self.places((steps, rows, columns)), depth=depth
        )
        return latents.reshape(b, steps, rows, columns, -1)

    def encode_at(
        self, patches: Float[Tensor, "b t h w p"], depths: Sequence[int]
    ) -> Float[Tensor, "b depths t h w width"]:
        """Returns :meth:`encode` after several numbers of blocks, in one pass."""
        b, steps, rows, columns, _ = patches.shape
        places = self.places((steps, rows, columns))
        found = torch.stack(self.encoder.at(patches.flatten(1, 3), places, depths), dim=1)
        return found.reshape(b, len(depths), steps, rows, columns, -1)

    def predict(
        self, context: Float[Tensor, "b c h w width"], horizon: int
    ) -> Float[Tensor, "b f h w width"]:
        """Foresees the latents of the next ``horizon`` latent steps, encoded by themselves.

        Args:
            context: Latents of the steps before.
            horizon: Latent steps.
        """
        b, steps, rows, columns, _ = context.shape
        places = self.places((steps + horizon, rows, columns))
        shown = self.predictor.seen(context.flatten(1, 3))
        masked = self.predictor.asked(CAUSAL, places.hint[shown.shape[1] :], shown)
        tokens = torch.cat([shown, masked.expand(b, -1, -1)], dim=1)
        tokens = self.predictor(tokens, places.rotation)[:, shown.shape[1] :]
        return self.predictor.told(tokens).reshape(b, horizon, rows, columns, -1)


def placed(shape: Shape, grid: tuple[int, int, int], device: torch.device | None = None) -> Places:
    """Computes the places of a grid's tokens."""
    positions = grid_positions(*grid, device)
    still = positions * positions.new_tensor([0.0, 1.0, 1.0])
    return Places(
        fixed_code(still, shape.encoder.width),
        fixed_code(still, shape.predictor.width),
        rotation(positions, shape.encoder.head),
    )


def normed(x: Float[Tensor, "*b width"]) -> Float[Tensor, "*b width"]:
    """Returns tokens of mean 0 and variance 1, float32: a layer norm without gain."""
    return functional.layer_norm(x.float(), (x.shape[-1],), eps=1e-6)


def parameters(shape: Shape) -> int:
    """Counts the parameters of a JEPA without allocating them."""
    with torch.device("meta"):
        return sum(p.numel() for p in JEPA(shape).parameters())
