"""Tiny V-JEPA 1 checkpoints in the layout of facebookresearch/jepa, and their answers in float64.

Nothing here is shared with the adapter: names and shapes are those of the published files, loops
give positions, and a network is a function of its weights. As in training, a clip is embedded as a
whole and masked afterwards.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STEPS, GRID, PATCH = 6, 2, 8
SIDE, FRAMES = GRID * PATCH, 2 * STEPS
WIDTH, INNER, DEPTH, HEADS = 32, 48, 3, 4
SMALL, SMALL_INNER, SMALL_DEPTH = 24, 40, 2
TOLD: dict[str, Any] = {"heads": HEADS}
"""What a tiny file does not tell, its width being none that is published."""

State = dict[str, Tensor]


def positions(width: int, *, uniform: bool, steps: int = STEPS, grid: int = GRID) -> Tensor:
    """Returns the table of positions, one number after the other."""
    if uniform:
        third = 2 * math.ceil(width / 6)
        shares = (third, third, third)
    else:
        shares = (width // 2, width // 4, width // 4)
    rows = []
    for step in range(steps):
        for row in range(grid):
            for column in range(grid):
                values: list[float] = []
                for place, share in zip((step, row, column), shares, strict=True):
                    omegas = [1 / 10000 ** (i / (share / 2)) for i in range(share // 2)]
                    values += [math.sin(place * omega) for omega in omegas]
                    values += [math.cos(place * omega) for omega in omegas]
                rows.append(values[:width])
    return torch.tensor(rows, dtype=torch.float64)


def tower(before: str, width: int, inner: int, depth: int) -> State:
    """Draws the weights of some blocks."""
    state: State = {}
    for i in range(depth):
        name = f"{before}{i}."
        for norm in ("norm1", "norm2"):
            state[f"{name}{norm}.weight"] = 1 + 0.2 * torch.randn(width)
            state[f"{name}{norm}.bias"] = 0.2 * torch.randn(width)
        shapes = {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.fc1": (inner, width),
            "mlp.fc2": (width, inner),
        }
        for layer, shape in shapes.items():
            state[f"{name}{layer}.weight"] = 0.3 * torch.randn(shape)
            state[f"{name}{layer}.bias"] = 0.1 * torch.randn(shape[0])
    return state


def encoder(*, uniform: bool) -> State:
    """Draws an encoder."""
    state = tower("blocks.", WIDTH, INNER, DEPTH)
    state["patch_embed.proj.weight"] = 0.1 * torch.randn(WIDTH, 3, 2, PATCH, PATCH)
    state["patch_embed.proj.bias"] = 0.1 * torch.randn(WIDTH)
    state["norm.weight"], state["norm.bias"] = 1 + 0.2 * torch.randn(WIDTH), torch.randn(WIDTH)
    state["pos_embed"] = positions(WIDTH, uniform=uniform).float()[None]
    return state


def predictor(*, uniform: bool, masks: int = 2) -> State:
    """Draws a predictor."""
    state = tower("predictor_blocks.", SMALL, SMALL_INNER, SMALL_DEPTH)
    for name, (out, given) in {"embed": (SMALL, WIDTH), "proj": (WIDTH, SMALL)}.items():
        state[f"predictor_{name}.weight"] = 0.3 * torch.randn(out, given)
        state[f"predictor_{name}.bias"] = 0.1 * torch.randn(out)
    state["predictor_norm.weight"] = 1 + 0.2 * torch.randn(SMALL)
    state["predictor_norm.bias"] = torch.randn(SMALL)
    state["predictor_pos_embed"] = positions(SMALL, uniform=uniform).float()[None]
    for i in range(masks):
        state[f"mask_tokens.{i}"] = torch.randn(1, 1, SMALL)
    return state


def checkpoint(*, seed: int = 0, uniform: bool = True) -> dict[str, Any]:
    """Returns what training saved: student, predictor and average, wrapped twice, and the rest."""
    torch.manual_seed(seed)
    parts = {
        "encoder": encoder(uniform=uniform),
        "predictor": predictor(uniform=uniform),
        "target_encoder": encoder(uniform=uniform),
    }
    held: dict[str, Any] = {
        part: {f"module.backbone.{name}": each for name, each in state.items()}
        for part, state in parts.items()
    }
    return {**held, "opt": {"state": {}}, "scaler": None, "epoch": 300, "loss": 0.4, "lr": 1e-6}


def saved(file: Path, **options: Any) -> Path:
    """Writes a checkpoint and returns its file."""
    torch.save(checkpoint(**options), file)
    return file


class Oracle:
    """The answers, in float64, of what a checkpoint holds.

    Args:
        held: The checkpoint.
        heads: Of both attentions.
    """

    def __init__(self, held: dict[str, Any], heads: int = HEADS) -> None:
        wrapped = {part: held[part] for part in ("target_encoder", "predictor")}
        self.encoder, self.predictor = (
            {name.removeprefix("module.backbone."): each.double() for name, each in state.items()}
            for state in wrapped.values()
        )
        self.heads = heads

    def latents(self, clips: Tensor, mask: list[int], depth: int = DEPTH) -> Tensor:
        """Returns the tokens of a whole clip that a mask keeps, after some blocks."""
        state = self.encoder
        kernel = state["patch_embed.proj.weight"].flatten(1)
        b = len(clips)
        cut = clips.double().reshape(b, STEPS, 2, 3, GRID, PATCH, GRID, PATCH)
        tubelets = cut.permute(0, 1, 4, 6, 3, 2, 5, 7).reshape(b, STEPS * GRID**2, -1)
        tokens = tubelets @ kernel.T + state["patch_embed.proj.bias"] + state["pos_embed"]
        tokens = tokens[:, mask]
        for i in range(depth):
            tokens = block(tokens, state, f"blocks.{i}.", self.heads)
        return norm(tokens, state, "norm") if depth == DEPTH else tokens

    def foreseen(self, clips: Tensor, known: list[int], asked: list[int], token: int) -> Tensor:
        """Returns what the predictor says of some tokens, given others."""
        state = self.predictor
        places = state["predictor_pos_embed"][0]
        seen = linear(self.latents(clips, known), state, "predictor_embed") + places[known]
        masked = (state[f"mask_tokens.{token}"] + places[asked]).expand(len(clips), -1, -1)
        tokens = torch.cat([seen, masked], dim=1)
        for i in range(SMALL_DEPTH):
            tokens = block(tokens, state, f"predictor_blocks.{i}.", self.heads)
        tokens = norm(tokens[:, len(known) :], state, "predictor_norm")
        return linear(tokens, state, "predictor_proj")


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def norm(x: Tensor, state: State, name: str) -> Tensor:
    return as_target(x, 1e-6) * state[f"{name}.weight"] + state[f"{name}.bias"]


def as_target(x: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Returns tokens of mean 0 and variance 1."""
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / (centred.square().mean(dim=-1, keepdim=True) + epsilon).sqrt()


def block(x: Tensor, state: State, name: str, heads: int) -> Tensor:
    b, n, d = x.shape
    fused = linear(norm(x, state, f"{name}norm1"), state, f"{name}attn.qkv")
    query, key, value = (
        part.reshape(b, n, heads, d // heads).transpose(1, 2) for part in fused.split(d, dim=-1)
    )
    weights = (query @ key.transpose(2, 3) / math.sqrt(d // heads)).exp()
    taken = (weights / weights.sum(dim=-1, keepdim=True)) @ value
    x = x + linear(taken.transpose(1, 2).reshape(b, n, d), state, f"{name}attn.proj")
    inner = linear(norm(x, state, f"{name}norm2"), state, f"{name}mlp.fc1")
    inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
    return x + linear(inner, state, f"{name}mlp.fc2")
