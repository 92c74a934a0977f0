"""Random weights for I3D, in every dialect that public files speak."""

import re

import torch
from torch import Tensor, nn

from worldbench.metrics.i3d import HEAD, units


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """Weights by unit under which the signal neither dies nor explodes."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, (inputs, outputs, kernel) in units().items():
        shape = (outputs, inputs, kernel, kernel, kernel)
        deviation = (2 / (inputs * kernel**3)) ** 0.5
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) * deviation
        state[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
        if name != HEAD:
            state[f"{name}.mean"] = 0.1 * torch.randn(outputs, generator=generator)
            state[f"{name}.variance"] = 0.5 + torch.rand(outputs, generator=generator)
            state[f"{name}.scale"] = 0.8 + 0.4 * torch.rand(outputs, generator=generator)
    return state


def pytorch_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of pytorch-i3d, as rgb_imagenet.pt and i3d_pretrained_400.pt have them."""
    branches = {"0": "b0", "1a": "b1a", "1b": "b1b", "2a": "b2a", "2b": "b2b", "3": "b3b"}
    vectors = {"bias": "bn.bias", "scale": "bn.weight", "mean": "bn.running_mean"}
    vectors |= {"variance": "bn.running_var", "weight": "conv3d.weight"}
    found = {}
    for key, tensor in state.items():
        unit, _, kind = key.rpartition(".")
        module, _, branch = unit.partition(".")
        place = f"{module}.{branches[branch]}" if branch else module
        if unit == HEAD:
            found[f"logits.conv3d.{kind}"] = tensor
        else:
            found[f"{place}.{vectors[kind]}"] = tensor
    found["Conv3d_1a_7x7.bn.num_batches_tracked"] = torch.tensor(0)
    return found


def hub_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names close to TensorFlow Hub's, one branch of 5b misnamed as there; no scales."""
    branches = {"0": "0.Conv3d_0a_1x1", "1a": "1.Conv3d_0a_1x1", "1b": "1.Conv3d_0b_3x3"}
    branches |= {"2a": "2.Conv3d_0a_1x1", "2b": "2.Conv3d_0b_3x3", "3": "3.Conv3d_0b_1x1"}
    vectors = {"bias": "batch_norm.beta", "mean": "batch_norm.moving_mean"}
    vectors |= {"variance": "batch_norm.moving_variance", "weight": "conv_3d.w"}
    found = {}
    for key, tensor in state.items():
        unit, _, kind = key.rpartition(".")
        module, _, branch = unit.partition(".")
        if kind == "scale":
            continue
        if unit == HEAD:
            kinds = {"weight": "w", "bias": "b"}
            found[f"RGB.inception_i3d.Logits.Conv3d_0c_1x1.conv_3d.{kinds[kind]}"] = tensor
            continue
        place = f"{module}.Branch_{branches[branch]}" if branch else module
        if unit == "Mixed_5b.2b":
            place = place.replace("0b_3x3", "0a_3x3")
        shaped = tensor if kind == "weight" else tensor.view(1, -1, 1, 1, 1)
        found[f"RGB.inception_i3d.{place}.{vectors[kind]}"] = shaped
    return found


class Holds(nn.Module):
    """A module whose parameters have given dotted names, to be scripted."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        inner: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            first, _, rest = name.partition(".")
            if rest:
                inner.setdefault(first, {})[rest] = tensor
            else:
                self.register_buffer(first, tensor)
        for name, held in inner.items():
            self.add_module(re.sub(r"^(?=\d)", "n", name), Holds(held))

    def forward(self, x: Tensor) -> Tensor:
        return x
