import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from worldbench.batches import clip_batches, to_pixels, to_video
from worldbench.errors import DataError

CPU = torch.device("cpu")


class Numbered:
    """A clip source whose clip "7" is flat grey of level 7; later groups load faster."""

    frames, fps, train = 2, 8.0, None

    def __init__(self, bad: str | None = None, slow: float = 0.0) -> None:
        self.bad, self.slow, self.calls = bad, slow, 0

    def load(self, ids: Sequence[str]) -> np.ndarray:
        self.calls += 1
        time.sleep(self.slow * (self.calls % 3 == 1))
        if self.bad in ids:
            raise DataError("clip does not decode", seen=self.bad)
        levels = np.array([int(i) for i in ids], np.uint8)
        return np.broadcast_to(levels[:, None, None, None, None], (len(ids), 2, 4, 4, 3)).copy()

    # The rest of the protocol is not asked for here.
    info = protocol = None
    contents: frozenset[str] = frozenset()

    def clips(self) -> list[object]:
        return []


def levels(batch: torch.Tensor) -> list[int]:
    return (batch[:, 0, 0, 0, 0] * 255).round().int().tolist()


GROUPS = [[str(k) for k in range(i, min(i + 3, 20))] for i in range(0, 20, 3)]


@pytest.mark.parametrize("workers", [0, 1, 2, 7])
def test_batches_come_in_the_order_asked_for_with_any_number_of_workers(workers):
    batches = list(clip_batches(Numbered(slow=0.01), GROUPS, device=CPU, num_workers=workers))
    assert [levels(b) for b in batches] == [[int(i) for i in g] for g in GROUPS]
    assert batches[0].shape == (3, 2, 3, 4, 4)
    assert batches[0].dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 2])
def test_no_groups_give_no_batches(workers):
    assert list(clip_batches(Numbered(), [], device=CPU, num_workers=workers)) == []


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_while_decoding_reaches_the_consumer_after_the_batches_before_it(workers):
    batches = clip_batches(Numbered(bad="7"), GROUPS, device=CPU, num_workers=workers)
    assert levels(next(batches)) == [0, 1, 2]
    assert levels(next(batches)) == [3, 4, 5]
    with pytest.raises(DataError, match="clip does not decode"):
        next(batches)


@pytest.mark.timeout(20)
def test_a_consumer_that_stops_early_leaves_no_thread_and_no_queue_behind():
    source = Numbered(slow=0.02)
    batches = clip_batches(source, [["1"]] * 10_000, device=CPU, num_workers=3)
    next(batches)
    batches.close()
    assert source.calls <= 8  # one taken, three being decoded and the few ahead
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


@pytest.mark.timeout(20)
def test_workers_stay_only_a_little_ahead_of_the_consumer():
    source = Numbered()
    batches = clip_batches(source, [["1"]] * 100, device=CPU, num_workers=2)
    next(batches)
    time.sleep(0.1)
    assert source.calls <= 4
    batches.close()


def test_pixels_survive_the_way_to_video_and_back():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 2, 8, 16, 3)
    video = to_video(pixels)
    assert video.shape == (1, 2, 3, 8, 16)
    assert (video.min(), video.max()) == (0, 1)
    assert np.array_equal(to_pixels(video[0]), pixels[0].numpy())


def test_pixels_outside_the_range_are_clamped_not_wrapped():
    video = torch.tensor([-0.2, 0.5, 1.3]).reshape(1, 3, 1, 1)
    assert to_pixels(video).ravel().tolist() == [0, 128, 255]
