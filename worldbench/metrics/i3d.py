"""I3D, the video classifier whose logits most published video distances are measured in.

Network: Carreira & Zisserman 2017 (arXiv 1705.07750), the RGB stream of 400 Kinetics classes, with
TensorFlow's SAME padding. Notable: batch normalisation is folded into the convolutions in float64,
the 1×1×1 convolutions that open a module's branches run as one, and everything is laid out channels
last, where pooling is several times as fast on a CPU (tests/benchmarks/bench_i3d.py). Whose weights
go in, and under which names their files hold them, is :mod:`worldbench.metrics.i3d_weights`.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 400
SIDE = 224
LEAST_FRAMES = 9
"""Three halvings in time must leave the two steps that the last pooling spans."""

STEM = {"Conv3d_1a_7x7": (3, 64, 7), "Conv3d_2b_1x1": (64, 64, 1), "Conv3d_2c_3x3": (64, 192, 3)}
"""Convolutions before the first module: channels in and out, side of the cubic kernel."""

MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Output channels of every module: branch 0; 1, both convolutions; 2, both; 3."""

HEAD = "Logits"


def units() -> dict[str, tuple[int, int, int]]:
    """Every convolution by name: channels in and out, and the side of its kernel.

    Names are the paper's endpoints; within a module ``0``, ``1a``, ``1b``, ``2a``, ``2b``, ``3``
    are its branches, in order.
    """
    found, channels = dict(STEM), 192
    for name, (b0, b1a, b1b, b2a, b2b, b3) in MIXED.items():
        found |= {
            f"{name}.0": (channels, b0, 1),
            f"{name}.1a": (channels, b1a, 1),
            f"{name}.1b": (b1a, b1b, 3),
            f"{name}.2a": (channels, b2a, 1),
            f"{name}.2b": (b2a, b2b, 3),
            f"{name}.3": (channels, b3, 1),
        }
        channels = b0 + b1b + b2b + b3
    return {**found, HEAD: (channels, CLASSES, 1)}


class _Conv(nn.Conv3d):
    """Convolution with SAME padding and, unless it is the last, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, rectified: bool = True
    ) -> None:
        # At stride 1 SAME padding is the same on both sides, which the convolution does itself.
        own = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride=stride, padding=own)
        self.rectified = rectified

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b k t2 h2 w2"]:
        if self.stride[0] > 1:
            both = [_same(side, self.kernel_size[0], self.stride[0]) for side in x.shape[:1:-1]]
            x = functional.pad(x, [side for pair in both for side in pair])
        x = super().forward(x)
        return functional.relu_(x) if self.rectified else x


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding before and after, which depends on the size."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pool(
    x: Float[Tensor, "b c t h w"], kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> Float[Tensor, "b c t2 h2 w2"]:
    """Max pooling with SAME padding of values that are not negative.

    The pooling pads both sides alike, and with less than any value; what SAME padding adds behind,
    its ceiling mode covers.
    """
    both = [_same(*side) for side in zip(x.shape[2:], kernel, stride, strict=True)]
    behind = any(after > before for before, after in both)
    before = [before for before, _ in both]
    return functional.max_pool3d(x, kernel, stride, padding=before, ceil_mode=behind)


class _Mixed(nn.Module):
    """Inception module: 1×1×1; 1×1×1 then 3×3×3, twice; pooling then 1×1×1; concatenated."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3 = widths
        self.split = (b0, b1a, b2a)
        self.opening = _Conv(inputs, sum(self.split), 1)
        self.second = _Conv(b1a, b1b, 3)
        self.third = _Conv(b2a, b2b, 3)
        self.fourth = _Conv(inputs, b3, 1)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b k t h w"]:
        first, second, third = self.opening(x).split(self.split, dim=1)
        second = self.second(second.contiguous(memory_format=torch.channels_last_3d))
        third = self.third(third.contiguous(memory_format=torch.channels_last_3d))
        fourth = self.fourth(_pool(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat([first, second, third, fourth], dim=1)


class I3D(nn.Module):
    """Maps clips, normalised to [−1, 1], to the 400 logits of Kinetics, averaged over time.

    Args:
        state: Weights by unit as :func:`units` names them: ``<unit>.weight``; ``<unit>.bias``,
            ``.mean`` and ``.variance``, and ``.scale`` where there is one, of its normalisation;
            for the last unit its own ``.bias`` alone.
        epsilon: What the normalisation adds to variances: 1e-3 as trained; some ports have 1e-5.
    """

    def __init__(self, state: Mapping[str, Tensor], epsilon: float = 1e-3) -> None:
        super().__init__()
        shapes = units()
        self.stem = nn.ModuleList(
            _Conv(*shapes[name], stride=2 if name == "Conv3d_1a_7x7" else 1) for name in STEM
        )
        self.mixed = nn.ModuleList(_Mixed(shapes[f"{name}.0"][0], MIXED[name]) for name in MIXED)
        self.head = _Conv(*shapes[HEAD], rectified=False)
        self._fill(state, epsilon)
        self.eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def _fill(self, state: Mapping[str, Tensor], epsilon: float) -> None:
        for conv, name in zip(self.stem, STEM, strict=True):
            _load(conv, state, (name,), epsilon)
        for module, name in zip(self.mixed, MIXED, strict=True):
            assert isinstance(module, _Mixed)
            _load(module.opening, state, (f"{name}.0", f"{name}.1a", f"{name}.2a"), epsilon)
            _load(module.second, state, (f"{name}.1b",), epsilon)
            _load(module.third, state, (f"{name}.2b",), epsilon)
            _load(module.fourth, state, (f"{name}.3",), epsilon)
        _load(self.head, state, (HEAD,), epsilon)

    def forward(self, clips: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b d"]:
        """Returns logits ``b 400``.

        Args:
            clips: At least 9 frames of 224 × 224.

        Raises:
            ValueError: If the clips are shorter or smaller.
        """
        if clips.shape[2] < LEAST_FRAMES or clips.shape[3:] != (SIDE, SIDE):
            raise ValueError(
                f"I3D takes at least {LEAST_FRAMES} frames of {SIDE}×{SIDE}, "
                f"got {tuple(clips.shape)}"
            )
        x = clips.contiguous(memory_format=torch.channels_last_3d)
        x = _pool(self.stem[0](x), (1, 3, 3), (1, 2, 2))
        x = _pool(self.stem[2](self.stem[1](x)), (1, 3, 3), (1, 2, 2))
        for name, module in zip(MIXED, self.mixed, strict=True):
            if name == "Mixed_4b":
                x = _pool(x, (3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                x = _pool(x, (2, 2, 2), (2, 2, 2))
            x = module(x)
        # The classifier is linear: it may come after the mean over time, at a fraction of the cost.
        pooled = functional.avg_pool3d(x, (2, 7, 7), stride=1).mean(dim=2, keepdim=True)
        logits: Tensor = self.head(pooled)
        return logits.flatten(1)


def _load(conv: nn.Module, state: Mapping[str, Tensor], names: tuple[str, ...], eps: float) -> None:
    """Gives one convolution the weights of one or several units, their normalisation folded in."""
    folded = [_folded(state, name, eps) for name in names]
    assert isinstance(conv, _Conv)
    conv.weight.data.copy_(torch.cat([weight for weight, _ in folded]))
    assert conv.bias is not None
    conv.bias.data.copy_(torch.cat([bias for _, bias in folded]))


def _folded(state: Mapping[str, Tensor], name: str, eps: float) -> tuple[Tensor, Tensor]:
    weight, bias = state[f"{name}.weight"].double(), state[f"{name}.bias"].double()
    if name == HEAD:
        return weight, bias
    gain = (state[f"{name}.variance"].double() + eps).rsqrt()
    if f"{name}.scale" in state:
        gain = gain * state[f"{name}.scale"].double()
    return weight * gain[:, None, None, None, None], bias - state[f"{name}.mean"].double() * gain
