"""Operations of tiny pipelines: whatever they do is counted, pictures on the way are no work."""

import pytest
import torch
from diffusers_files import clips, saved_once

from worldbench.adapters.diffusers.adapter import Diffusers
from worldbench.flops import count

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


@pytest.mark.parametrize("name", ["svd", "ltx"])
def test_rollouts_of_pipelines_that_take_pictures_are_counted(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def asked(steps: int) -> int:
        adapter = Diffusers(str(folder), dtype="fp32", steps=steps)

        def call() -> torch.Tensor:
            return adapter.generate(clips(1, 8), 6, samples=1, seeds=[1])

        with torch.inference_mode():
            call()
            found = count(call)
        assert found.why_incomplete is None
        return found.flops

    folder = saved_once(name, tmp_path_factory)
    one, two, three = (asked(steps) for steps in (1, 2, 3))
    assert 0 < three - two == two - one < one
