"""The parts that both schools' transformers are built of.

Notable:
- RMS norms without weights: what follows each is linear and can scale by itself
- QK-norm: queries and keys have unit mean square, so attention logits cannot run away in bf16
- 3D rotary positions: no learned table ties a network to a length or resolution
- SwiGLU, no biases
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from worldbench_models.positions import Rotation, rotate


@dataclass(frozen=True)
class Size:
    """How large a transformer is.

    Attributes:
        width: Channels of a token.
        depth: Blocks.
        heads: Attention heads; together they may be narrower than a token.
        head: Channels of a head.
        hidden: Channels inside the MLP.
    """

    width: int
    depth: int
    heads: int
    head: int
    hidden: int


SIZES = {
    "xs": Size(192, 4, 3, 64, 448),
    "s": Size(384, 4, 5, 64, 1152),
    "m": Size(512, 7, 8, 64, 1184),
    "l": Size(896, 9, 14, 64, 2048),
}
"""``s`` ships; ``xs`` is for tests and for the spread between seeds, ``m`` and ``l`` for sweeps."""

Groups = tuple[tuple[int, int], ...]
"""Sequences of several lengths, packed into one row of tokens: (sequences, length) of each group.

All but attention treats tokens one by one, so a row of all of them takes one large product where
groups by themselves would take many small ones."""

_SHARPNESS = 1.5
"""Factor on attention logits: with normed queries and keys they lie within ±√head, which alone
could not single out one token of 512."""


def rms_norm(x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
    """Scales the last axis to unit mean square (Zhang & Sennrich 2019), in float32."""
    return functional.rms_norm(x.float(), (x.shape[-1],), eps=1e-6)


class Attention(nn.Module):
    """Full attention over all tokens, with QK-norm and rotary positions.

    Queries and keys are normed (Henry et al. 2020, arXiv 2010.04245; Dehghani et al. 2023, arXiv
    2302.05442), here without a learned gain: its gradient is a pass of its own over all tokens.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.head = size.head
        mixed = size.heads * size.head
        self.qkv = nn.Linear(size.width, 3 * mixed, bias=False)
        self.out = nn.Linear(mixed, size.width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "*b n width"],
        rotation: Rotation,
        groups: Groups | None = None,
        *,
        first: int = 0,
    ) -> Float[Tensor, "*b m width"]:
        """Mixes the tokens of each sequence.

        Args:
            x: Tokens: sequences ``b n width``, or with ``groups`` all of their tokens in a row.
            rotation: Where the tokens are.
            groups: What the row is made of.
            first: Tokens at the start of each sequence that are mixed into others but come out
                themselves of no use, so that m = n − first come out; 0 with ``groups``.
        """
        q, k, v = self._projected(x, first)
        cos, sin = rotation
        q = rotate(rms_norm(q), (cos[first:], sin[first:])).to(v.dtype)
        k = rotate(rms_norm(k), rotation).to(v.dtype)
        if groups is None:
            mixed = self._mixed(q, k, v)
        else:
            parts = zip(*(_apart(each, groups) for each in (q, k, v)), strict=True)
            mixed = torch.cat([self._mixed(*part).flatten(0, 1) for part in parts])
        out: Tensor = self.out(mixed)
        return out

    def _projected(self, x: Float[Tensor, "*b n width"], first: int) -> tuple[Tensor, ...]:
        """Returns queries ``*b m heads c``, keys and values ``*b n heads c``."""
        if first == 0:
            return self._by_head(self.qkv(x), 3)
        query, rest = self.qkv.weight.tensor_split([self.out.in_features])
        queries = self._by_head(functional.linear(x[:, first:], query), 1)
        return *queries, *self._by_head(functional.linear(x, rest), 2)

    def _by_head(self, x: Float[Tensor, "*b n c"], parts: int) -> tuple[Tensor, ...]:
        return tuple(x.reshape(*x.shape[:-1], parts, -1, self.head).unbind(-3))

    def _mixed(
        self,
        q: Float[Tensor, "b m heads c"],
        k: Float[Tensor, "b n heads c"],
        v: Float[Tensor, "b n heads c"],
    ) -> Float[Tensor, "b m mixed"]:
        # b n heads c → b heads n c, which attention asks for; views, no copies
        mixed = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            scale=_SHARPNESS / self.head**0.5,
        )
        return mixed.transpose(1, 2).flatten(2)


def _apart(
    row: Float[Tensor, "total heads c"], groups: Groups
) -> list[Float[Tensor, "b n heads c"]]:
    parts = torch.split(row, [b * n for b, n in groups])
    return [part.reshape(*group, *row.shape[1:]) for part, group in zip(parts, groups, strict=True)]


class SwiGLU(nn.Module):
    """A gated MLP (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        # Two matrices rather than one: the gradient of a half would be copied into the whole.
        self.gate = nn.Linear(size.width, size.hidden, bias=False)
        self.value = nn.Linear(size.width, size.hidden, bias=False)
        self.out = nn.Linear(size.hidden, size.width, bias=False)

    def forward(self, x: Float[Tensor, "*b n width"]) -> Float[Tensor, "*b n width"]:
        """Transforms each token."""
        out: Tensor = self.out(functional.silu(self.gate(x)) * self.value(x))
        return out


def init_linear(module: nn.Module) -> None:
    """Draws a linear layer's weights with variance 1/inputs; for ``Module.apply``."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
