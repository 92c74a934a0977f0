import pytest
import torch

from worldbench.adapter import NoiseBank
from worldbench.noise import TrialNoise


def test_noise_is_keyed_by_id_level_and_index_and_is_standard_normal() -> None:
    bank = TrialNoise(["a", "b", "a"])
    noise = bank.draw((4000,), level=0.5, index=0, sign=1)
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(noise[1:2], TrialNoise(["b"]).draw((4000,), level=0.5, index=0, sign=1))
    others = [bank.draw((4000,), level=0.6, index=0, sign=1)]
    others += [bank.draw((4000,), level=0.5, index=1, sign=1), noise[[1, 0, 1]]]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([noise[0], other[0]]))[0, 1])) < 0.06
    assert abs(float(noise[0].mean())) < 0.05
    assert float(noise[0].std()) == pytest.approx(1, abs=0.05)
    with pytest.raises(ValueError, match="sign"):
        bank.draw((1,), level=0.5, index=0, sign=2)


def test_the_sign_flips_the_very_same_draw() -> None:
    bank = TrialNoise(["a", "b"])
    assert isinstance(bank, NoiseBank)
    plus, minus = (bank.draw((3, 2), level=0.1, index=0, sign=sign) for sign in (1, -1))
    assert torch.equal(plus, -minus)
    assert plus.shape == (2, 3, 2)
