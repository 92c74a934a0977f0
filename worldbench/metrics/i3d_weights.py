"""Published I3D weights: found by path, read without running code, converted once.

The same network is handed round in several files: the TorchScript port of TensorFlow Hub's
``i3d-kinetics-400`` (StyleGAN-V) and state dicts of the PyTorch port (``rgb_imagenet.pt``,
``i3d_pretrained_400.pt``). Their names differ; what they name does not, so a unit is known by its
endpoint, its branch and the side of its kernel. Nothing is downloaded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from worldbench.cache import cached_tensors
from worldbench.errors import DataError, UsageError
from worldbench.metrics.i3d import HEAD, I3D, MIXED, STEM, units
from worldbench.metrics.torchscript import is_torchscript, torchscript_tensors
from worldbench.record import file_digest

PUBLISHED = {
    "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2": (
        "i3d_torchscript.pt of StyleGAN-V, TensorFlow Hub's i3d-kinetics-400"
    )
}
"""SHA-256 of files that are known, and what they are."""

WHERE = (
    "the path of i3d_torchscript.pt (StyleGAN-V), rgb_imagenet.pt (pytorch-i3d) or "
    "i3d_pretrained_400.pt (VideoGPT, cd-fvd)"
)

_FORMAT = 1  # of converted files
_CONVOLUTION = re.compile(r"(?i)(?P<unit>.+?)\.(?:conv_?3d\.|conv\.)?(?:weight|w)$")
_BRANCH = re.compile(r"(?i)(?:branch_?|\bb)([0-3])")
_LAST = re.compile(r"(?i)logits|conv3d_0c_1x1")
_VECTORS = {
    "bias": re.compile(r"(?i)\.(?:bn|batch3d|batch_?norm)\.(?:bias|beta)$"),
    "scale": re.compile(r"(?i)\.(?:bn|batch3d|batch_?norm)\.(?:weight|gamma)$"),
    "mean": re.compile(r"(?i)\.(?:running|moving)_mean$"),
    "variance": re.compile(r"(?i)\.(?:running_var|moving_variance)$"),
}


@dataclass(frozen=True)
class Weights:
    """Where weights are, and which they are.

    Attributes:
        path: The file.
        sha256: Its digest, which stands for the weights.
    """

    path: Path
    sha256: str

    @property
    def source(self) -> str:
        """What the card says of their origin."""
        return PUBLISHED.get(self.sha256, f"a file of sha256 {self.sha256[:12]}")

    def network(self, epsilon: float = 1e-3) -> I3D:
        """Builds the network, converting the file on first use.

        Raises:
            DataError: If the file holds no I3D.
        """
        state = cached_tensors(
            "weights", {"i3d": self.sha256, "format": _FORMAT}, lambda: read_state(self.path)
        )
        return I3D(state, epsilon)


def find_weights(path: str | Path | None) -> Weights:
    """Locates a weight file; there is no other that it falls back on.

    Raises:
        UsageError: If no path is given or nothing is there.
    """
    file = Path(path).expanduser() if path else None
    if file is None or not file.is_file():
        raise UsageError(
            "I3D needs its weights, which come with no package"
            if file is None
            else "there are no I3D weights",
            seen=None if file is None else str(file),
            accepted=WHERE,
            fix="fetch one from its authors and name it: --weights FILE, or suite.weights=FILE",
        )
    return Weights(file, file_digest(file))


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads any of the public files into weights by unit, as :class:`worldbench.metrics.i3d.I3D`.

    Raises:
        DataError: If the file does not read, or does not hold every unit in its shape.
    """
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        elif is_torchscript(path):
            found = torchscript_tensors(path)
        else:
            found = _flat(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # garbage fails in any way that an unpickler can
        # Not the message: torch's advises to load whatever code a file brings.
        raise DataError(
            f"the weight file {path} does not read",
            seen=f"{type(error).__name__}: no safetensors, TorchScript archive or state dict",
            accepted=WHERE,
            fix="fetch it again",
        ) from error
    return found if _is_own(found) else _by_unit(found, path)


def _is_own(found: Mapping[str, Tensor]) -> bool:
    return {f"{name}.weight" for name in units()} <= set(found)


def _flat(content: object) -> dict[str, Tensor]:
    """State dicts, also those that stand under a key of a checkpoint."""
    if isinstance(content, Mapping):
        for key in ("state_dict", "model"):
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping):
        raise ValueError(f"a state dict was expected, not {type(content).__name__}")
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}


def _by_unit(found: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Renames tensors by unit, and insists on every unit's shapes."""
    shapes, state = units(), {}
    for key, weight in found.items():
        match = _CONVOLUTION.match(key)
        if weight.ndim != 5 or match is None:
            continue
        name = _unit(key, weight.shape[-1])
        if name is None or name not in shapes:
            continue
        prefix = match["unit"]
        state[f"{name}.weight"] = weight
        if name == HEAD:
            stem = key.rpartition(".")[0]
            biases = [found[own] for own in (f"{stem}.bias", f"{stem}.b") if own in found]
            state |= {f"{name}.bias": bias.flatten() for bias in biases}
            continue
        for kind, pattern in _VECTORS.items():
            for other, vector in found.items():
                if other.startswith(f"{prefix}.") and pattern.search(other):
                    state[f"{name}.{kind}"] = vector.flatten()
    wrong = _misfits(state)
    if wrong:
        raise DataError(
            f"the weight file {path} holds no I3D of 400 classes",
            seen=f"{len(found)} tensors, e.g. {', '.join(list(found)[:3])}; {'; '.join(wrong[:3])}",
            accepted=WHERE,
            fix="check that this is the RGB stream, trained on Kinetics-400",
        )
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}


def _unit(key: str, kernel: int) -> str | None:
    """Which unit a convolution is, from its name and the side of its kernel."""
    low = key.lower()
    for name in STEM:
        if name.lower() in low:
            return name
    for name in MIXED:
        _, inside, rest = low.partition(f"{name.lower()}.")
        branch = _BRANCH.search(rest)
        if inside and branch:
            twice = "" if branch[1] in "03" else "a" if kernel == 1 else "b"
            return f"{name}.{branch[1]}{twice}"
    return HEAD if _LAST.search(low) else None


def _misfits(state: Mapping[str, Tensor]) -> list[str]:
    wrong = []
    for name, (inputs, outputs, kernel) in units().items():
        expected = {"weight": (outputs, inputs, kernel, kernel, kernel), "bias": (outputs,)}
        if name != HEAD:
            expected |= {"mean": (outputs,), "variance": (outputs,)}
        for kind, shape in expected.items():
            tensor = state.get(f"{name}.{kind}")
            if tensor is None:
                wrong.append(f"no {name}.{kind}")
            elif tuple(tensor.shape) != shape:
                wrong.append(f"{name}.{kind} is {tuple(tensor.shape)}, not {shape}")
    return wrong
