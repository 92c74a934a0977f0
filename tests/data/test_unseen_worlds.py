import pickle

import numpy as np
import pytest

from worldbench.data.source import ClipSource
from worldbench.data.unseen_worlds import UnseenWorlds
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.palette import OOD_COLOURS
from worldbench.errors import UsageError
from worldbench.suites.probe_protocol import transfer_source


def test_the_classes_are_those_of_the_training_clips_and_the_looks_are_not() -> None:
    data = UnseenWorlds("worlds_unseen", per_class=1, workers=1)
    assert isinstance(data, ClipSource)
    clips = data.clips()
    known = WorldData("worlds_motion_quick", "train", workers=1)
    assert sorted({clip.label for clip in clips}) == sorted({c.label for c in known.clips()})
    assert len(clips) == len({clip.cluster for clip in clips}) == 16
    colours = {data.track(clip.id).factors["colour"] for clip in clips}
    assert colours <= set(OOD_COLOURS)
    assert data.train is None
    assert data.contents.isdisjoint(known.contents)
    # The second time they come from the cache, in another process too.
    again = pickle.loads(pickle.dumps(UnseenWorlds("worlds_unseen", per_class=1, workers=1)))
    assert again.info == data.info
    some = [clip.id for clip in clips[:2]]
    loaded = again.load(some)
    assert loaded.shape == (2, 16, 64, 64, 3)
    assert not np.array_equal(loaded[0], loaded[1])


def test_labels_that_name_what_is_unseen_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no such data\.label"):
        UnseenWorlds("worlds_unseen", "appearance")
    with pytest.raises(UsageError, match="per_class"):
        UnseenWorlds("worlds_unseen", per_class=0)


def test_a_suite_finds_them_by_name_and_options() -> None:
    source = transfer_source({"name": "worlds_unseen", "per_class": 1, "workers": 1})
    assert isinstance(source, UnseenWorlds)
    assert source.info.clips == 16
    with pytest.raises(UsageError, match="names no data"):
        transfer_source({"root": "somewhere"})
