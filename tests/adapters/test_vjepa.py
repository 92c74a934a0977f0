"""Checkpoints as training writes them, made of tiny models of transformers."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from vjepa2_files import FRAMES, SIDE, clips, saved_vjepa2

from worldbench import cli
from worldbench.adapters import vjepa_checkpoint
from worldbench.adapters.vjepa import VJEPA
from worldbench.adapters.vjepa2 import OPERATORS, VJEPA2
from worldbench.errors import DataError, UsageError
from worldbench.noise import TrialNoise

transformers = pytest.importorskip("transformers")

TOLD: dict[str, Any] = {
    "side": SIDE,
    "training_frames": FRAMES,
    "heads": 2,
    "predictor_heads": 2,
    "rotary": True,
}
"""What tiny checkpoints do not tell; they have fewer mask tokens than public ones."""


def original(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Names the weights of transformers as training does, and fuses queries, keys and values."""
    parts: dict[str, dict[str, Tensor]] = {"encoder": {}, "predictor": {}}
    for name, value in state.items():
        part, rest = name.split(".", 1)
        block = "blocks" if part == "encoder" else "predictor_blocks"
        rest = re.sub(r"^layer\.", f"{block}.", rest).replace(".attention.", ".attn.")
        if ".attn.key." in rest or ".attn.value." in rest:
            continue
        if ".attn.query." in rest:
            names = (name.replace(".query.", f".{third}.") for third in ("query", "key", "value"))
            rest, value = rest.replace(".query.", ".qkv."), torch.cat([state[n] for n in names])
        if rest == "embeddings.mask_tokens":
            tokens = {f"module.backbone.mask_tokens.{i}": each for i, each in enumerate(value)}
            parts[part] |= tokens
            continue
        before = "" if part == "encoder" else "predictor_"
        for known, theirs in (
            ("layernorm.", f"{before}norm."),
            ("proj.", f"{before}proj."),
            ("embeddings.patch_embeddings.", "patch_embed."),
            ("embeddings.predictor_embeddings.", "predictor_embed."),
        ):
            if rest.startswith(known):
                rest = theirs + rest.removeprefix(known)
                break
        parts[part][f"module.backbone.{rest}"] = value
    return parts


def write(file: Path, folder: Path, **more: Tensor) -> Path:
    """Writes a checkpoint whose average is a model of transformers, and whose student is another.

    Args:
        file: Where.
        folder: The model.
        **more: Weights that its encoder holds besides.
    """
    model = transformers.VJEPA2Model.from_pretrained(folder)
    parts = original(model.state_dict())
    teacher = parts["encoder"] | {f"module.backbone.{name}": each for name, each in more.items()}
    student = {name: torch.randn_like(each) for name, each in teacher.items()}
    held = {"encoder": student, "predictor": parts["predictor"], "target_encoder": teacher}
    torch.save({**held, "opt": {"lr": 0.1}, "epoch": 3, "scaler": None}, file)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_vjepa2(tmp_path_factory.mktemp("vjepa2"))


@pytest.fixture(scope="module")
def file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Rotated models keep these from before; what they hold must not matter.
    left_over = {"pos_embed": torch.randn(1, 32, 24)}
    return write(tmp_path_factory.mktemp("original") / "tiny.pt", folder, **left_over)


def test_it_answers_as_the_model_of_transformers_bit_for_bit(file: Path, folder: Path) -> None:
    adapter, known = VJEPA(str(file), **TOLD), VJEPA2(str(folder))
    video, noise = clips(2, 10, (40, 48)), TrialNoise(["a", "b"])
    for layer in known.layers:
        found = adapter.encode(video, layer=layer).tokens
        assert torch.equal(found, known.encode(video, layer=layer).tokens)
    assert torch.equal(adapter.predict(video, 6).tokens, known.predict(video, 6).tokens)
    for operator in OPERATORS:
        one, two = (
            each.surprise(video, 4, operator=operator, noise=noise) for each in (adapter, known)
        )
        assert torch.equal(one, two)
    assert adapter.card.parameters == known.card.parameters
    assert (adapter.card.frames, adapter.card.size) == (known.card.frames, known.card.size)
    assert adapter.card.source == "a checkpoint of facebookresearch/vjepa2"


def test_the_command_line_checks_a_checkpoint(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"adapter.{name}={str(value).lower()}" for name, value in TOLD.items()]
    assert cli.main(["check", "adapter=vjepa", f"adapter.weights={file}", *words]) == 0
    assert "vjepa: 0 failed of 24 checks" in capsys.readouterr().out


def test_a_checkpoint_is_rewritten_once(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))
    adapter = VJEPA(str(file), **TOLD)
    assert not list(tmp_path.iterdir())  # making an adapter costs nothing
    revision = adapter.card.revision

    def again(*_: object) -> None:
        raise AssertionError("rewritten twice")

    monkeypatch.setattr(vjepa_checkpoint, "_rewritten", again)
    assert VJEPA(str(file), **TOLD).card.revision == revision
    with pytest.raises(AssertionError, match="rewritten twice"):
        _ = VJEPA(str(file), **TOLD | {"side": 2 * SIDE}).card


class Harmful:
    """Unpickled, it would be run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("ran",)


def test_what_is_no_such_checkpoint_is_told(
    file: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = torch.load(file, weights_only=True)
    predictor = held["predictor"]
    some = {name: each for name, each in predictor.items() if "mask_tokens" not in name}
    cases: list[tuple[object, dict[str, Any], str]] = [
        ({"encoder": Harmful()}, {}, "does not read without running code"),
        ([1, 2], {}, "a part is missing"),
        ({"encoder": {}, "predictor": {}}, {}, "a part is missing"),
        (held, {"rotary": False}, "positions in this checkpoint are those of no V-JEPA 1"),
        (held, {"heads": None}, "how many heads"),
        (held | {"predictor": predictor | {"action_encoder.bias": torch.ones(1)}}, {}, "no V-JEPA"),
        (held | {"predictor": some}, {}, "no whole V-JEPA 2"),
    ]
    for content, options, words in cases:
        path = tmp_path / "case.pt"
        torch.save(content, path)
        with pytest.raises(DataError, match=words) as caught:
            _ = VJEPA(str(path), **TOLD | options).card
        assert None not in (caught.value.seen, caught.value.accepted, caught.value.fix)
    (tmp_path / "part.pt").write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match="does not read"):
        _ = VJEPA(str(tmp_path / "part.pt"), **TOLD).card
    assert "ran" not in capsys.readouterr().out
    with pytest.raises(UsageError, match="there is no such checkpoint"):
        VJEPA(str(folder))


def test_a_ratio_of_the_giant_survives_rounding() -> None:
    for inner, width in ((6144, 1408), (4096, 1024), (73, 24)):
        assert int(width * vjepa_checkpoint._ratio(inner, width)) == inner
