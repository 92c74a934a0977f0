"""The attentive probe, many heads at once: V-JEPA's pooler, and V-JEPA 2's deeper one.

One learned query attends to all tokens of a clip in a cross-attention block with a residual MLP,
and a linear layer classifies it (Bardes et al. 2024, arXiv 2404.08471, appendix; four blocks of
which three are self-attention over the tokens: Assran et al. 2025, arXiv 2506.09985; there the
cross-attention has no output projection, here it has V-JEPA's at every depth). Notable:

- the heads of a grid are stacked in the first dimension of every parameter; they share the tokens,
  so that a batch is read and normed once for all
- a single query never needs the keys: its product with the key matrix is one vector per attention
  head, and by linearity tokens are averaged before the value matrix, not after. With attention
  heads of 64 channels that is 64 times fewer operations per token, and the same function
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

Parameters = dict[str, Tensor]
"""By name, each ``g …``: the heads' own values, stacked."""

_STD, _HEAD_CHANNELS, _MLP = 0.02, 64, 4


@dataclass(frozen=True)
class Pooler:
    """The shape of an attentive probe.

    Attributes:
        width: Channels of a token.
        classes: How many there are.
        depth: 1 for V-JEPA's; more put so many self-attention blocks, less one, before it.
    """

    width: int
    classes: int
    depth: int = 1

    @property
    def attention_heads(self) -> int:
        """As many as have 64 channels each, or the next smaller number that divides the width."""
        most = max(1, self.width // _HEAD_CHANNELS)
        return next(h for h in range(most, 0, -1) if self.width % h == 0)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter of one head."""
        d, k = self.width, self.classes
        found: dict[str, tuple[int, ...]] = {}
        for i in range(self.depth - 1):
            found |= {f"block{i}.{name}": size for name, size in _block(d).items()}
            found |= {f"block{i}.qkv.weight": (3 * d, d), f"block{i}.qkv.bias": (3 * d,)}
        found |= {"query": (d,), **_block(d)}
        found |= {"q.weight": (d, d), "q.bias": (d,), "kv.weight": (2 * d, d), "kv.bias": (2 * d,)}
        return found | {"linear.weight": (k, d), "linear.bias": (k,)}

    @property
    def parameters(self) -> int:
        """How many one head has."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())

    def start(self, heads: int, seed: int, like: Tensor) -> Parameters:
        """Draws starting values, the same for each head, of the dtype and device of a tensor.

        Normal of deviation .02, cut at two; outputs of residual branches by √2 per block smaller;
        offsets 0 and gains 1.
        """
        generator = torch.Generator().manual_seed(seed)
        return {
            name: self._drawn(name, shape, generator)
            .to(like)
            .expand(heads, *shape)
            .clone()
            .requires_grad_()
            for name, shape in self.shapes.items()
        }

    def _drawn(self, name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if name.endswith("bias"):
            return torch.zeros(shape)
        if "norm" in name:
            return torch.ones(shape)
        value = torch.nn.init.trunc_normal_(
            torch.empty(shape), std=_STD, a=-2.0, b=2.0, generator=generator
        )
        if name.endswith(("proj.weight", "fc2.weight")):
            block = int(name[5 : name.index(".")]) + 1 if name.startswith("block") else self.depth
            value /= (2.0 * block) ** 0.5
        return value

    def __call__(self, given: Parameters, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "g b k"]:
        """Returns the logits that every head gives every clip."""
        query = given["query"]
        if self.depth == 1:
            pooled = self._attend_shared(given, tokens)
        else:
            x = tokens.expand(len(query), *tokens.shape)
            for i in range(self.depth - 1):
                x = _self_attention(_part(given, f"block{i}."), x, self.attention_heads)
            pooled = self._attend(given, x)
        x = query[:, None] + _linear(given, "proj", pooled)
        x = x + _mlp(given, x)
        return _linear(given, "linear", x)

    def _questions(self, given: Parameters) -> Float[Tensor, "g h d"]:
        """Returns what each attention head looks for: its product with a normed token, scaled."""
        g, d, h = len(given["query"]), self.width, self.attention_heads
        query = _linear(given, "q", given["query"][:, None]).reshape(g, h, 1, d // h)
        keys = given["kv.weight"][:, :d].reshape(g, h, d // h, d)
        # The keys' offset is the same for all tokens, and the softmax does not notice it.
        asked: Tensor = (query @ keys)[:, :, 0] * given["norm1.weight"][:, None]
        return asked / math.sqrt(d // h)

    def _values(self, given: Parameters, means: Float[Tensor, "g h b d"]) -> Float[Tensor, "g b d"]:
        """Maps attention heads' mean normed tokens to their values, side by side."""
        g, d, h = len(given["query"]), self.width, self.attention_heads
        gain, offset = given["norm1.weight"], given["norm1.bias"]
        values = given["kv.weight"][:, d:].reshape(g, h, d // h, d)
        told = (means * gain[:, None, None] + offset[:, None, None]) @ values.transpose(2, 3)
        return told.transpose(1, 2).flatten(2) + given["kv.bias"][:, None, d:]

    def _attend_shared(
        self, given: Parameters, tokens: Float[Tensor, "b n d"]
    ) -> Float[Tensor, "g b d"]:
        """Attends to tokens that are the same for all heads of the grid."""
        asked = self._questions(given)
        g, h, d = asked.shape
        normed = layer_norm(tokens, (d,))
        weights = (normed @ asked.reshape(g * h, d).T).softmax(dim=1)
        means = weights.transpose(1, 2) @ normed
        return self._values(given, means.reshape(-1, g, h, d).permute(1, 2, 0, 3))

    def _attend(
        self, given: Parameters, tokens: Float[Tensor, "g b n d"]
    ) -> Float[Tensor, "g b d"]:
        """Attends to tokens that each head of the grid has of its own."""
        normed = layer_norm(tokens, tokens.shape[-1:])
        weights = (normed @ self._questions(given)[:, None].transpose(2, 3)).softmax(dim=2)
        return self._values(given, (weights.transpose(2, 3) @ normed).transpose(1, 2))


def _block(d: int) -> dict[str, tuple[int, ...]]:
    """Returns the parameters that both kinds of block have."""
    return {
        "norm1.weight": (d,),
        "norm1.bias": (d,),
        "proj.weight": (d, d),
        "proj.bias": (d,),
        "norm2.weight": (d,),
        "norm2.bias": (d,),
        "fc1.weight": (_MLP * d, d),
        "fc1.bias": (_MLP * d,),
        "fc2.weight": (d, _MLP * d),
        "fc2.bias": (d,),
    }


def _part(given: Parameters, prefix: str) -> Parameters:
    return {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}


def _linear(given: Parameters, name: str, x: Float[Tensor, "g b c"]) -> Float[Tensor, "g b e"]:
    weight, bias = given[f"{name}.weight"], given[f"{name}.bias"]
    return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))


def _norm(given: Parameters, name: str, x: Float[Tensor, "g b d"]) -> Float[Tensor, "g b d"]:
    gain, offset = given[f"{name}.weight"], given[f"{name}.bias"]
    return torch.addcmul(offset[:, None], layer_norm(x, x.shape[-1:]), gain[:, None])


def _mlp(given: Parameters, x: Float[Tensor, "g b d"]) -> Float[Tensor, "g b d"]:
    return _linear(given, "fc2", gelu(_linear(given, "fc1", _norm(given, "norm2", x))))


def _self_attention(
    given: Parameters, x: Float[Tensor, "g b n d"], heads: int
) -> Float[Tensor, "g b n d"]:
    """Maps every head's own tokens: a transformer block as of a vision transformer."""
    g, b, n, d = x.shape
    flat = x.flatten(1, 2)
    qkv = _linear(given, "qkv", _norm(given, "norm1", flat)).reshape(g * b, n, 3, heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    told = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(g, b * n, d)
    flat = flat + _linear(given, "proj", told)
    return (flat + _mlp(given, flat)).reshape(x.shape)
