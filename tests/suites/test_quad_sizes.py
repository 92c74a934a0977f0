"""Worlds at an adapter's own size: what is rendered, what is refused, what quads become."""

import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldbench.compose import compose, instantiate
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.fairness import MIN_RUN
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.errors import UsageError
from worldbench.provenance import Stopwatch
from worldbench.run import _tell_of_other_format, answerer, ask
from worldbench.suites.permanence import Permanence
from worldbench.suites.probe import Probe
from worldbench.suites.probe_protocol import protocol
from worldbench.suites.quad_trials import entries_of, told_of_size

sys.path.append(str(Path(__file__).parents[1] / "adapters"))
from vjepa2_files import SIDE, saved_vjepa2

CHANGING = ("presence-rebound/test-0082/occluded", "colour/test-0001/occluded")
"""Quads of which finer pictures show slivers, at the end and at the beginning of their run."""


class FewQuads(WorldData):
    """Some quads of the quick set, rendered when they are asked for."""

    def __init__(self, ids: tuple[str, ...], size: int | None) -> None:
        super().__init__("permanence_quick", size=size)
        self.ids = ids

    @cached_property
    def _chosen(self) -> dict[str, Any]:
        wanted = {c for q in self.content.quads if q.id in self.ids for c in q.clips}
        return {clip.id: clip for clip in self.content.clips if clip.id in wanted}

    def load(self, ids: Any) -> np.ndarray:
        return render_rgb([self.track(i) for i in ids], size=self.size).numpy()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return saved_vjepa2(tmp_path_factory.mktemp("vjepa2"))


def words(weights: Path, *more: str) -> list[str]:
    return ["adapter=vjepa2", f"adapter.weights={weights}", "adapter.framing=native", *more]


def test_finer_pictures_have_shorter_runs_and_in_them_clips_are_identical() -> None:
    made = {entry.id: entry for entry in entries_of(FewQuads(CHANGING, None))}
    fine = FewQuads(CHANGING, 128)
    found = {entry.id: entry for entry in entries_of(fine)}
    assert set(made) == set(found) == set(CHANGING)
    for name, entry in found.items():
        a, p = fine.load(entry.clips)
        whole = slice(made[name].start, made[name].stop)
        assert not np.array_equal(a[whole], p[whole])
        assert np.array_equal(a[entry.start : entry.stop], p[entry.start : entry.stop])
        assert made[name].start <= entry.start < entry.stop <= made[name].stop
        assert entry.stop - entry.start >= MIN_RUN
        assert (entry.start, entry.stop) != (made[name].start, made[name].stop)
    assert told_of_size(fine) == {"quads_lost_at_this_size": 0}


def test_quads_whose_pictures_share_no_run_are_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fine = FewQuads(CHANGING, 32)
    kept = fine.load

    def differing(ids: Any) -> np.ndarray:
        clips = kept(ids)
        if ids[0].startswith("colour"):
            clips[0, ::2] += 1
        return clips

    monkeypatch.setattr(fine, "load", differing)
    assert [entry.id for entry in entries_of(fine)] == [CHANGING[0]]
    assert Permanence().protocol(fine)["quads_lost_at_this_size"] == 1
    assert [trial.id for trial in Permanence().trials(fine)] == [CHANGING[0]]


def test_at_their_own_size_quads_and_keys_are_as_they_were() -> None:
    for size in (None, 64):
        data = WorldData("permanence_quick", size=size)
        there = {clip.id for clip in data.clips()}
        quads = [q for q in data.content.quads if set(q.clips) <= there]
        assert entries_of(data) == quads
        assert told_of_size(data) == {}
        assert "quads_lost_at_this_size" not in Permanence().protocol(data)


@pytest.mark.parametrize("suite", ["permanence", "consistency3d", "video_distance", "probe"])
def test_native_renders_at_the_adapters_size_and_the_key_says_so(
    suite: str, weights: Path, tmp_path: Path
) -> None:
    cells, few = {}, ["data.max_clips=8"] if suite in ("video_distance", "probe") else []
    for size in ("null", "native", f"[{SIDE},{SIDE}]"):
        config = compose(words(weights, f"suite={suite}", f"data.size={size}", *few))
        cells[size] = answerer(config, ask(config), tmp_path)
    native, plain, said = cells["native"], cells["null"], cells[f"[{SIDE},{SIDE}]"]
    assert native.data.protocol["size"] == [SIDE, SIDE] == list(native.adapter.card.size or ())
    assert plain.data.protocol["size"] == [64, 64]
    assert native.key == said.key != plain.key
    assert native.data.load([native.trials[0].clips[0]]).shape[2:] == (SIDE, SIDE, 3)
    for cell, told in ((native, False), (plain, True)):
        watch = Stopwatch(cell.setting.device, (), {})
        _tell_of_other_format(cell, watch)
        assert any("64×64 pixels, not 32×32" in note for note in watch.notes) == told
    train = native.data.train
    assert train is not None
    assert train.protocol["size"] == [SIDE, SIDE]


def test_an_adapter_without_a_size_is_told_to_choose_one() -> None:
    config = compose(["adapter=copy_last", "suite=permanence", "data.size=native"])
    with pytest.raises(UsageError, match="no size of its own") as caught:
        ask(config)
    assert "data.size=[256,256]" in str(caught.value.fix)


def test_a_size_of_another_shape_is_refused_by_the_option() -> None:
    data = WorldData("permanence_quick", size=(48, 80), max_clips=1, workers=1)
    with pytest.raises(UsageError, match="aspect ratio") as caught:
        data.load([data.clips()[0].id])
    assert "data.size=64" in str(caught.value.fix)
    with pytest.raises(UsageError, match="no size") as no:
        WorldData("permanence_quick", size=[32])
    assert "native" in str(no.value)


def test_probes_are_not_asked_about_transfer_clips_of_another_size() -> None:
    config = compose(["adapter=copy_last", "suite=probe", "data.size=32"])
    data = instantiate("data", config.data)
    with pytest.raises(UsageError, match="another size than those") as caught:
        protocol(Probe(transfer={"name": "worlds_unseen", "per_class": 1}), data)
    assert "suite.transfer='{name: worlds_unseen, size: [32, 32]}'" in str(caught.value.fix)
    fixed = Probe(transfer={"name": "worlds_unseen", "per_class": 1, "size": [32, 32]})
    assert protocol(fixed, data)["transfer"][2]["size"] == [32, 32]
