import numpy as np
import pytest
import torch

from worldbench_models.patches import PATCH, VALUES, patchify, patchify_bytes, unpatchify


def test_patches_put_together_again_are_the_clip_bit_for_bit() -> None:
    video = torch.rand(2, 6, 3, 16, 40)
    assert torch.equal(unpatchify(patchify(video)), video)
    patches = torch.rand(2, 3, 2, 5, VALUES)
    assert torch.equal(patchify(unpatchify(patches)), patches)


def test_a_patch_holds_the_two_frames_of_its_square() -> None:
    video = torch.arange(4 * 3 * 16 * 16, dtype=torch.float32).reshape(1, 4, 3, 16, 16)
    patch = patchify(video)[0, 1, 0, 1].reshape(*PATCH, 3)
    assert torch.equal(patch, video[0, 2:4, :, 0:8, 8:16].permute(0, 2, 3, 1))


@pytest.mark.parametrize("shape", [(1, 3, 3, 8, 8), (1, 2, 3, 12, 8), (1, 2, 3, 8, 9)])
def test_clips_that_are_no_whole_patches_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no multiples"):
        patchify(torch.zeros(shape))


def test_stored_bytes_become_values_from_minus_one_to_one() -> None:
    clips = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, 4, 8, 16, 3), dtype=np.uint8)
    )
    clips[0, 0, 0, 0] = torch.tensor([0, 255, 51], dtype=torch.uint8)
    video = clips.permute(0, 1, 4, 2, 3).double() / 255 * 2 - 1
    torch.testing.assert_close(patchify_bytes(clips).double(), patchify(video.float()).double())
    assert patchify_bytes(clips)[0, 0, 0, 0, :3].tolist() == pytest.approx([-1, 1, -0.6])
