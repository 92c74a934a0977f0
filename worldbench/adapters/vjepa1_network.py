"""V-JEPA 1 (Bardes et al. 2024, arXiv 2404.08471), which transformers does not have.

Modules are named as the weights of facebookresearch/jepa are. A token's position is that of its
place in a clip of the trained length, also where the clip that is given is shorter: as in training,
where other tokens were masked away. The published encoder, given fewer frames, stretches the whole
table over them instead, so that a context would lie at places where it never lay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from worldbench.adapters.vjepa2_source import Facts
from worldbench.adapters.vjepa_network import Network
from worldbench.errors import DataError

_EPSILON = 1e-6  # of every norm


@dataclass(frozen=True)
class Tower:
    """The form of a stack of blocks.

    Attributes:
        width: Channels.
        inner: Channels within a block's MLP.
        depth: Blocks.
        heads: Of attention.
    """

    width: int
    inner: int
    depth: int
    heads: int


class Attention(nn.Module):
    """Attention of all tokens to all, queries, keys and values in one matrix."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Returns what each token takes from all."""
        b, n, d = tokens.shape
        heads = self.qkv(tokens).reshape(b, n, 3, self.heads, d // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        taken = functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.proj(taken.transpose(1, 2).reshape(b, n, d))
        return result


class MLP(nn.Module):
    """Two layers with a GELU between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Returns what is made of each token by itself."""
        result: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return result


class Block(nn.Module):
    """Attention and MLP, each after a norm and beside the stream."""

    def __init__(self, form: Tower) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(form.width, _EPSILON)
        self.attn = Attention(form.width, form.heads)
        self.norm2 = nn.LayerNorm(form.width, _EPSILON)
        self.mlp = MLP(form.width, form.inner)

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Returns the tokens after the block."""
        tokens = tokens + self.attn(self.norm1(tokens))
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


class Patches(nn.Module):
    """Tubelets as tokens."""

    def __init__(self, tubelet: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, width, tubelet, tubelet)

    def forward(self, clips: Float[Tensor, "b t 3 s s"]) -> Float[Tensor, "b n d"]:
        """Returns one token per tubelet."""
        result: Tensor = self.proj(clips.transpose(1, 2)).flatten(2).transpose(1, 2)
        return result


class Encoder(nn.Module):
    """From clips to tokens after blocks.

    Args:
        form: Of its blocks.
        tubelet: Frames, height and width of a patch.
        places: Tokens of a clip of the trained length.
    """

    def __init__(self, form: Tower, tubelet: tuple[int, int, int], places: int) -> None:
        super().__init__()
        self.patch_embed = Patches(tubelet, form.width)
        self.blocks = nn.ModuleList(Block(form) for _ in range(form.depth))
        self.norm = nn.LayerNorm(form.width, _EPSILON)
        self.pos_embed = nn.Parameter(torch.zeros(1, places, form.width), requires_grad=False)

    def forward(
        self, clips: Float[Tensor, "b t 3 s s"], depths: Sequence[int], first: int = 0
    ) -> list[Float[Tensor, "b n d"]]:
        """Returns the tokens after several blocks; after the last the norm is taken as well.

        Args:
            clips: Prepared clips.
            depths: Numbers of blocks, from 1.
            first: Number of the first token within a clip of the trained length.
        """
        tokens = self.patch_embed(clips)
        tokens = tokens + self.pos_embed[:, first : first + tokens.shape[1]]
        found: dict[int, Tensor] = {}
        for depth, block in enumerate(self.blocks[: max(depths)], start=1):
            tokens = block(tokens)
            found[depth] = self.norm(tokens) if depth == len(self.blocks) else tokens
        return [found[depth] for depth in depths]


class Predictor(nn.Module):
    """From the tokens of a context to those that come after it.

    Args:
        form: Of its blocks.
        width: Channels of the encoder.
        places: Tokens of a clip of the trained length.
        masks: Mask tokens, one per kind of mask in training.
    """

    def __init__(self, form: Tower, width: int, places: int, masks: int) -> None:
        super().__init__()
        self.predictor_embed = nn.Linear(width, form.width)
        self.mask_tokens = nn.Parameter(torch.zeros(masks, 1, 1, form.width))
        self.predictor_blocks = nn.ModuleList(Block(form) for _ in range(form.depth))
        self.predictor_norm = nn.LayerNorm(form.width, _EPSILON)
        self.predictor_proj = nn.Linear(form.width, width)
        self.predictor_pos_embed = nn.Parameter(
            torch.zeros(1, places, form.width), requires_grad=False
        )

    def forward(
        self, seen: Float[Tensor, "b n d"], count: int, mask: int
    ) -> Float[Tensor, "b m d"]:
        """Returns the next tokens.

        Args:
            seen: Tokens of the context, which begins a clip.
            count: Tokens to foresee.
            mask: Index of the mask token that stands for them.
        """
        known = seen.shape[1]
        places = self.predictor_pos_embed
        given = self.predictor_embed(seen) + places[:, :known]
        asked = self.mask_tokens[mask] + places[:, known : known + count]
        tokens = torch.cat([given, asked.expand(len(seen), -1, -1)], dim=1)
        for block in self.predictor_blocks:
            tokens = block(tokens)
        result: Tensor = self.predictor_proj(self.predictor_norm(tokens)[:, known:])
        return result


def built(config: Mapping[str, Any]) -> nn.ModuleDict:
    """Makes encoder and predictor of a configuration, without their weights."""
    side = config["crop_size"] // config["patch_size"]
    places = config["frames_per_clip"] // config["tubelet_size"] * side**2
    tubelet = (config["tubelet_size"], config["patch_size"], config["patch_size"])
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    form, small = (
        Tower(*(config[f"{before}{name}"] for name in names)) for before in ("", "pred_")
    )
    encoder = Encoder(form, tubelet, places)
    predictor = Predictor(small, form.width, places, config["pred_num_mask_tokens"])
    return nn.ModuleDict({"encoder": encoder, "predictor": predictor})


class AdditiveNetwork(Network):
    """A V-JEPA 1; loaded on the first question.

    Args:
        facts: What the files tell.
        mask_token: The predictor's token for what is to be predicted.
    """

    def __init__(self, facts: Facts, mask_token: int) -> None:
        super().__init__(facts, mask_token)
        self._models: dict[torch.device, nn.ModuleDict] = {}

    def _encoded(
        self, clips: Float[Tensor, "b t 3 s s"], depths: Sequence[int], first: int
    ) -> Float[Tensor, "b depths t2 h w d"]:
        found = self._model(clips)["encoder"](clips, depths, first * self._facts.grid**2)
        return torch.stack([self._normed(tokens) for tokens in found], dim=1)

    def _foreseen(
        self, context: Float[Tensor, "b c 3 s s"], steps: int
    ) -> Float[Tensor, "b steps h w d"]:
        model = self._model(context)
        seen = model["encoder"](context, (self._facts.depth,))[0]
        foreseen = model["predictor"](seen, steps * self._facts.grid**2, self._mask_token)
        return self._on_grid(foreseen.float())

    def _model(self, asked: Tensor) -> nn.ModuleDict:
        if asked.device not in self._models:
            # Suites ask in inference mode, whose tensors would be of no use outside it.
            with torch.inference_mode(False), torch.no_grad():
                self._models[asked.device] = self._loaded().to(asked.device)
        return self._models[asked.device]

    def _loaded(self) -> nn.ModuleDict:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        saved = self._facts.saved
        with torch.device("meta"):
            model = built(saved.config)
        try:
            model.load_state_dict(load_file(saved.weight_files[0]), assign=True)
        except (SafetensorError, OSError, RuntimeError, IndexError) as error:
            raise DataError(
                "the rewritten checkpoint does not load",
                seen=f"{saved.path}: {type(error).__name__}",
                accepted="what was written there when the checkpoint was first read",
                fix=f"delete {saved.path} and run again",
            ) from error
        return model.float().eval().requires_grad_(False)
