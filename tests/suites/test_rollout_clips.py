"""Clips of rollouts for the site, of a few quads and adapters that cost nothing."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from latent_adapters import CopiesLatents
from quad_bench import cheap_tokens
from test_permanence_pictures import Few

from worldbench.adapters.still import CopyLast
from worldbench.data.worlds.content import Content
from worldbench.data.worlds.data import WorldData
from worldbench.errors import UsageError
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Setting
from worldbench.suites.permanence import Permanence
from worldbench.suites.quad_trials import cut_of
from worldbench.suites.show.asked import chosen
from worldbench.suites.show.rollouts import main, write
from worldbench.suites.show.rollouts_clip import poster, side_by_side

SETTING = Setting(torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def _cheap():
    with cheap_tokens():
        yield


@pytest.fixture(scope="module")
def data() -> Few:
    content = WorldData("permanence_quick").content
    (trial, *_) = chosen(Permanence().trials(WorldData("permanence_quick")))
    (quad,) = (quad for quad in content.quads if quad.id == trial.id)
    clips = tuple(clip for clip in content.clips if clip.id in quad.clips)
    return Few(Content("few", clips, (quad,)))


@pytest.fixture(scope="module")
def trials(data: Few) -> list[Trial]:
    return Permanence().trials(data)


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_generator_gets_a_clip_a_still_and_a_picture_that_are_listed(data, trials, tmp_path):
    adapter = CopyLast()
    written = write(tmp_path, Permanence(), data, adapter, trials, SETTING, samples=2)
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"copy_last-{adapter.card.revision[:12]}"
    assert sorted(written) == sorted(folder.iterdir())
    told = json.loads((folder / "media.json").read_text())
    (clip,), (picture,) = told["clips"], told["pictures"]
    assert {clip["video"], clip["poster"], picture["file"], "media.json"} == {
        path.name for path in written
    }
    cut = cut_of(adapter.card, trials[0], data.frames)
    assert cut is not None
    video = frames(folder / clip["video"])
    assert video.shape[:3] == (cut.end + 1, clip["height"], clip["width"])
    assert f"For {cut.context} frames" in clip["alternative"]
    assert "samples 1 and 2" in clip["title"]
    assert sum(path.stat().st_size for path in written) < 120_000


def test_the_same_answers_give_the_same_bytes(data, trials, tmp_path):
    for folder in ("one", "two"):
        write(tmp_path / folder, Permanence(), data, CopyLast(), trials, SETTING)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).rglob("*.*")}
        for folder in ("one", "two")
    )
    assert one == two


def test_who_foresees_latents_has_a_picture_and_no_clip(data, trials, tmp_path):
    write(tmp_path, Permanence(), data, CopiesLatents(), trials, SETTING)
    (listed,) = tmp_path.rglob("media.json")
    told = json.loads(listed.read_text())
    assert told["clips"] == []
    assert "latent_error" in told["pictures"][0]["alternative"]


def test_who_cannot_be_asked_is_refused(data, trials, tmp_path):
    class Replayed:
        card = AdapterCard(name="tape", revision="7", family="replay", capabilities=("replays",))

    with pytest.raises(UsageError, match="tape can be asked about none"):
        write(tmp_path, Permanence(), data, Replayed(), trials, SETTING)


def test_panels_show_the_context_then_a_still_the_truth_and_the_samples():
    def plain(count: int, level: int) -> np.ndarray:
        return np.full((count, 64, 64, 3), level, np.uint8)

    samples = np.stack([plain(2, 90), plain(2, 120)])
    drawn = side_by_side(plain(3, 30), plain(2, 60), samples)
    assert len(drawn) == 6  # the last frame is shown twice

    def levels(frame: np.ndarray) -> list[int]:
        middle = frame[24 + 64]
        return [int(middle[8 + i * 136 + 64, 0]) for i in range(4)]

    assert levels(drawn[2]) == [30, 30, 30, 30]
    assert levels(drawn[3]) == [30, 60, 90, 120]
    assert (drawn[-1] == drawn[-2]).all()
    assert poster(drawn[3])[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nobody to ask"),
        (["--adapter", "copy_last", "--samples", "0"], "--samples"),
        (["--adapter", "copy_last", "--quad", "nothing"], "quad"),
    ],
)
def test_bad_options_are_refused(tmp_path, capsys, arguments, said):
    assert main([str(tmp_path / "media"), *arguments]) != 0
    assert said in capsys.readouterr().err
