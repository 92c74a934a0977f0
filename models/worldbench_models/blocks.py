"""The parts that both schools' transformers are built of.

Notable:
- RMS norms without weights: what follows each is linear and can scale by itself
- QK-norm: queries and keys have unit mean square, so attention logits cannot run away in bf16
- 3D rotary positions: no learned table ties a network to a length or resolution
- SwiGLU, no biases
"""

from dataclasses import dataclass

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
        self, x: Float[Tensor, "b n width"], rotation: Rotation
    ) -> Float[Tensor, "b n width"]:
        """Mixes tokens."""
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, -1, self.head).unbind(2)
        q = rotate(rms_norm(q), rotation).to(v.dtype)
        k = rotate(rms_norm(k), rotation).to(v.dtype)
        # b n heads c → b heads n c, which attention asks for; views, no copies
        mixed = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            scale=_SHARPNESS / self.head**0.5,
        )
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, n, -1))
        return out


class SwiGLU(nn.Module):
    """A gated MLP (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        # Two matrices rather than one: the gradient of a half would be copied into the whole.
        self.gate = nn.Linear(size.width, size.hidden, bias=False)
        self.value = nn.Linear(size.width, size.hidden, bias=False)
        self.out = nn.Linear(size.hidden, size.width, bias=False)

    def forward(self, x: Float[Tensor, "b n width"]) -> Float[Tensor, "b n width"]:
        """Transforms each token."""
        out: Tensor = self.out(functional.silu(self.gate(x)) * self.value(x))
        return out


def init_linear(module: nn.Module) -> None:
    """Draws a linear layer's weights with variance 1/inputs; for ``Module.apply``."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
