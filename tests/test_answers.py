import pytest
import torch

from worldbench.adapter import Latents
from worldbench.answers import checked_latents, checked_rollout
from worldbench.errors import ContractError

WANTED = {"batch": 2, "samples": 1, "horizon": 4, "size": (8, 6)}


def good() -> torch.Tensor:
    return torch.rand(2, 1, 4, 3, 8, 6, generator=torch.Generator().manual_seed(0))


def refusal(rollout: torch.Tensor) -> str:
    with pytest.raises(ContractError) as caught:
        checked_rollout("my_model", "generate", rollout, **WANTED)
    message = str(caught.value)
    assert "adapter 'my_model', call generate" in message
    assert all(part in message for part in ("seen:", "accepted:", "fix:"))
    return message


def test_a_good_rollout_passes_unchanged():
    rollout = good()
    assert checked_rollout("my_model", "generate", rollout, **WANTED) is rollout


@pytest.mark.parametrize("frames", [3, 5, 8])
def test_a_wrong_number_of_frames_is_named_as_such(frames):
    message = refusal(torch.zeros(2, 1, frames, 3, 8, 6))
    assert f"wrong number of frames: {frames} instead of 4" in message
    assert f"(2, 1, {frames}, 3, 8, 6)" in message
    assert "(2, 1, 4, 3, 8, 6)" in message


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 4, 3, 8, 6),
        (2, 2, 4, 3, 8, 6),
        (2, 4, 3, 8, 6),
        (2, 1, 4, 8, 6, 3),
        (2, 1, 4, 3, 6, 8),
    ],
)
def test_a_wrong_shape_is_shown_beside_the_right_one(shape):
    message = refusal(torch.zeros(shape))
    assert "wrong shape" in message
    assert str(shape) in message
    assert "b s t c h w = (2, 1, 4, 3, 8, 6)" in message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_wrong_dtype_is_refused(dtype):
    message = refusal(good().to(dtype))
    assert str(dtype) in message
    assert "torch.float32" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_counted(value):
    rollout = good()
    rollout[0, 0, 0, 0, 0, :2] = value
    assert "2 of 1152 are NaN or infinite" in refusal(rollout)


@pytest.mark.parametrize(("value", "seen"), [(-1.0, "[-1, "), (255.0, ", 255]"), (1.01, ", 1.01]")])
def test_values_outside_the_range_are_shown(value, seen):
    rollout = good()
    rollout[1, 0, 3, 2, 7, 5] = value
    message = refusal(rollout)
    assert "outside the range" in message
    assert seen in message


def test_rounding_at_the_ends_of_the_range_is_allowed():
    rollout = good()
    rollout[0, 0, 0, 0, 0, 0], rollout[0, 0, 0, 0, 0, 1] = -5e-5, 1 + 5e-5
    checked_rollout("my_model", "generate", rollout, **WANTED)


def checked(shape: tuple[int, ...], frames: int, stride: int) -> None:
    latents = Latents(torch.zeros(shape), stride)
    assert checked_latents("my_model", "predict", latents, batch=2, frames=frames) is latents


@pytest.mark.parametrize(
    ("steps", "frames", "stride"), [(4, 8, 2), (5, 9, 2), (1, 1, 4), (7, 7, 1)]
)
def test_latents_have_one_step_per_stride_begun(steps, frames, stride):
    checked((2, steps, 4, 4, 8), frames, stride)
    for wrong in (steps - 1, steps + 1):
        with pytest.raises(ContractError) as caught:
            checked((2, wrong, 4, 4, 8), frames, stride)
        message = str(caught.value)
        assert "adapter 'my_model', call predict: wrong shape" in message
        assert f"(2, {wrong}, 4, 4, 8)" in message
        assert f"t'={steps} ({frames} frames at temporal stride {stride})" in message


def test_latents_of_another_batch_are_refused():
    with pytest.raises(ContractError, match="b=2"):
        checked((3, 4, 4, 4, 8), 8, 2)


def test_latents_that_are_not_finite_are_refused():
    tokens = torch.zeros(2, 4, 4, 4, 8)
    tokens[1, 3, 3, 3, 7] = float("nan")
    with pytest.raises(ContractError, match="call encode: latents that are not finite"):
        checked_latents("my_model", "encode", Latents(tokens, 2), batch=2, frames=8)


def with_tokens(tokens, stride=2):
    """Returns latents as an adapter whose types nobody checks could make them."""
    latents = Latents(torch.zeros(2, 4, 4, 4, 8), 2)
    object.__setattr__(latents, "tokens", tokens)
    object.__setattr__(latents, "temporal_stride", stride)
    return latents


@pytest.mark.parametrize(
    ("latents", "said"),
    [
        (torch.zeros(2, 4, 4, 4, 8), r"no latents\n.*Tensor"),
        (None, "no latents"),
        (with_tokens(torch.zeros(2, 4, 16, 8)), r"(?s)\(2, 4, 16, 8\).*reshape .* \(h = 1 for a"),
        (with_tokens(torch.zeros(2, 4)), "no grid"),
        (with_tokens([[0.0]]), r"no grid\n.*list"),
        (with_tokens(torch.zeros(2, 4, 4, 4, 8, dtype=torch.long)), r"wrong dtype\n.*int64"),
        (with_tokens(torch.zeros(2, 4, 4, 4, 8), stride=0), r"no temporal stride\n.*0"),
        (with_tokens(torch.zeros(2, 4, 4, 4, 8), stride=-2), r"no temporal stride\n.*-2"),
    ],
)
def test_what_is_no_grid_of_floats_is_refused(latents, said):
    with pytest.raises(ContractError, match=said) as caught:
        checked_latents("my_model", "encode", latents, batch=2, frames=8)
    assert None not in (caught.value.accepted, caught.value.fix)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_latents_of_any_precision_pass(dtype):
    latents = Latents(torch.zeros(2, 4, 1, 16, 8, dtype=dtype), 2)
    assert checked_latents("my_model", "encode", latents, batch=2, frames=8) is latents
