"""The command on folders of small videos, in I3D's place an extractor that costs nothing."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench import cli
from worldbench.data.video import encode
from worldbench.distance import features as space_module
from worldbench.distance.folders import Cut, FolderClips
from worldbench.distance.plot import curve_svg
from worldbench.errors import DataError
from worldbench.metrics import frechet_distance, kernel_distance
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.frame_rule import FrameRule
from worldbench.metrics.presets import EXTRACTORS, PRESETS
from worldbench.metrics.sample_curve import CurvePoint

pytestmark = pytest.mark.usefixtures("clean_process")
Said = pytest.CaptureFixture[str]
CARD = ExtractorCard("colours", "c" * 64, 6, "mean and mean |difference| of colours")


class Colours:
    """Mean colour and mean change of colour of a clip."""

    card, rule, revision = CARD, FrameRule(least=2), "1"
    asked = 0

    def __call__(self, video: Tensor) -> Tensor:
        Colours.asked += len(video)
        frames = video.double().mean(dim=(3, 4))
        return torch.cat([frames.mean(dim=1), frames.diff(dim=1).abs().mean(dim=1)], dim=1)


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    Colours.asked = 0
    monkeypatch.setattr(
        space_module, "weighted_card", lambda name, weights, preset: (CARD, Colours.rule)
    )
    monkeypatch.setattr(
        space_module, "weighted_extractor", lambda name, weights, preset, device: Colours()
    )


def picture(seed: int, frames: int, size: int, spread: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    colour = 0.5 + spread * rng.standard_normal(3)
    video = np.tile(colour, (frames, size, size, 1)) + 0.02 * np.arange(frames)[:, None, None, None]
    return (video.clip(0, 1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def make(
        count: int,
        first: int,
        *,
        frames: int = 16,
        size: int = 32,
        fps: int = 15,
        spread: float = 0.1,
        below: str = "",
        root: Path | None = None,
    ) -> Path:
        folder = root or tmp_path_factory.mktemp("videos")
        (folder / below).mkdir(exist_ok=True)
        for i in range(count):
            encode(folder / below / f"{i:03d}.mp4", picture(first + i, frames, size, spread), fps)
        return folder

    return make


@pytest.fixture(scope="module")
def real(make: Callable[..., Path]) -> Path:
    return make(32, 0)


@pytest.fixture(scope="module")
def fake(make: Callable[..., Path]) -> Path:
    return make(24, 1000, spread=0.2)


def run(*words: object) -> int:
    return cli.main(["distance", *map(str, words), "--extractor", "i3d", "--num-workers", "0"])


def fails(said: Said, code: int, *words: object) -> str:
    assert run(*words) == code
    out = said.readouterr()
    assert out.out == ""
    assert "Traceback" not in out.err
    return out.err


def answer(said: Said, *words: object) -> dict:
    assert run(*words, "--json") == 0
    return dict(json.loads(said.readouterr().out))


def direct(folder: Path, frames: int = 16) -> Tensor:
    clips = FolderClips(folder, Cut(frames=frames))
    pixels = clips.load([clip.id for clip in clips.clips])
    return Colours()(torch.from_numpy(pixels).permute(0, 1, 4, 2, 3).float() / 255)


def test_the_distances_are_those_of_the_features(real, fake, capsys):
    found = answer(capsys, real, fake)
    x, y = direct(fake), direct(real)
    frechet, kernel = found["distances"]["frechet"], found["distances"]["kernel"]
    assert frechet["value"] == pytest.approx(frechet_distance(x, y, ddof=0), rel=1e-9)
    assert kernel["value"] == pytest.approx(kernel_distance(x, y), rel=1e-9)
    assert (frechet["n"], frechet["m"], frechet["dim"]) == (24, 32, 6)
    assert frechet["low"] < frechet["infinity"] < frechet["high"]
    assert found["preset"]["name"] == "styleganv"
    assert found["card"]["label"] == "colours"
    assert (found["real"]["videos"], found["fake"]["clips"]) == (32, 24)
    assert any(w.startswith("n is small: 24 clips for 6 features") for w in found["warnings"])


def test_the_text_says_value_error_card_and_warning(real, fake, capsys):
    assert run(real, fake) == 0
    said = capsys.readouterr().out
    for part in ("frechet[colours]", "frechet_inf[colours]", "±", "95 % [", "noise floor"):
        assert part in said
    assert f"card     colours {CARD.digest[:12]}" in said
    assert "preset   styleganv: after github.com/universome/stylegan-v" in said
    assert "warning: n is small" in said


def test_a_folder_is_no_distance_from_itself(real, capsys):
    found = answer(capsys, real, real, "--paired")
    assert found["distances"]["frechet"]["value"] < 1e-12
    assert any("32 files stand in both folders" in warning for warning in found["warnings"])


def test_features_are_extracted_once(real, fake, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))
    first = answer(capsys, real, fake)
    assert Colours.asked == 56
    assert answer(capsys, real, fake) == first
    assert Colours.asked == 56
    answer(capsys, real, fake, "--stride", 1, "--frames", 8)
    assert Colours.asked == 112


def test_the_curve_is_data_and_a_picture(real, fake, capsys, tmp_path):
    found = answer(capsys, real, fake, "--curve", tmp_path / "curve.svg")
    assert [point["n"] for point in found["curve"]] == [12, 24]
    assert found["curve"][-1]["frechet"] == pytest.approx(found["distances"]["frechet"]["value"])
    drawn = (tmp_path / "curve.svg").read_text()
    assert drawn.startswith("<svg")
    assert "frechet[colours] by number of clips" in drawn


def test_classes_are_top_folders(make, capsys):
    sides = []
    for first in (0, 500):
        root = make(6, first, below="left")
        sides.append(make(6, first + 50, below="right", root=root))
    found = answer(capsys, *sides, "--by-class")
    assert list(found["classes"]) == ["left", "right"]
    assert found["classes"]["left"]["frechet"]["n"] == 6
    shutil.rmtree(sides[1] / "right")
    assert "1 classes have fewer than two clips" in fails(capsys, 3, *sides, "--by-class")


def test_windows_slide_over_long_videos(make, capsys):
    long = [make(8, first, frames=32) for first in (0, 100)]
    found = answer(capsys, *long, "--every", 8, "--clips-per-video", 0)
    assert found["real"]["clips"] == 8 * 3
    assert found["distances"]["kernel"]["clusters"] == 8
    assert answer(capsys, *long, "--clips-per-video", 2)["real"]["clips"] == 16


def test_temporal_measures_stand_beside(real, fake, capsys):
    found = answer(capsys, real, fake, "--temporal")
    assert [c["name"] for c in found["temporal"]] == ["warping_error", "flicker", "motion"]
    assert run(real, fake, "--temporal") == 0
    assert "motion         fake" in capsys.readouterr().out


# --- what cannot be compared ----------------------------------------------------------------------


def test_missing_and_empty_folders_are_told(real, capsys, tmp_path):
    assert "is not a folder" in fails(capsys, 3, real, tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "no videos in the folder" in fails(capsys, 3, real, tmp_path / "empty")


def test_unusable_videos_are_named_and_can_be_left_out(real, fake, capsys, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(fake, broken)
    (broken / "003.mp4").write_bytes(b"")
    (broken / "004.mp4").write_bytes((fake / "004.mp4").read_bytes()[:500])
    said = fails(capsys, 3, real, broken)
    assert "2 of 24 videos are unusable" in said
    assert "003.mp4 (empty file: 0 bytes)" in said
    assert "004.mp4" in said
    assert "--max-excluded 0.084" in said
    found = answer(capsys, real, broken, "--max-excluded", 0.1)
    assert found["fake"]["videos"] == 22
    assert any("2 videos of" in warning for warning in found["warnings"])


def test_mixed_sizes_are_refused_until_a_size_is_given(real, make, capsys):
    larger = make(8, 0, size=48)
    said = fails(capsys, 3, real, larger)
    assert "different sizes" in said
    assert "32 of 32×32" in said
    assert "8 of 48×48" in said
    assert answer(capsys, real, larger, "--size", 32)["fake"]["clips"] == 8


def test_videos_that_are_too_short_or_of_other_rates_are_told(real, make, capsys):
    short = make(8, 0, frames=10)
    said = fails(capsys, 3, real, short)
    assert "too short: 10 of 16 frames" in said
    assert "--frames with fewer" in said
    slow = make(8, 0, fps=10)
    found = answer(capsys, real, slow)
    assert any("frame rates differ" in warning for warning in found["warnings"])
    assert not any(
        "frame rates" in w
        for w in answer(capsys, real, slow, "--fps", 10, "--frames", 9)["warnings"]
    )


def test_whole_videos_must_be_of_one_length(real, make, capsys):
    other = make(8, 0, frames=12)
    said = fails(capsys, 3, real, other, "--preset", "common_metrics")
    assert "different lengths" in said
    assert "--frames 16" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--preset", "fvd"], 2, "unknown preset 'fvd'"),
        (["--max-excluded", 2], 2, "--max-excluded is no share"),
        (["--fps", -1], 2, "--fps is no rate"),
        (["--frames", 1], 2, "does not take clips of this length"),
    ],
)
def test_options_that_make_no_sense_are_refused(real, fake, capsys, words, code, message):
    assert message in fails(capsys, code, real, fake, *words)


def test_a_preset_alone_names_its_extractor(real, fake, capsys, monkeypatch):
    monkeypatch.undo()  # the real extractors, which lack their weights here
    assert cli.main(["distance", str(real), str(fake), "--preset", "styleganv"]) == 2
    assert "I3D needs its weights" in capsys.readouterr().err
    assert cli.main(["distance", str(real), str(fake), "--preset", "jedi"]) == 2
    assert "vjepa2 needs its weights" in capsys.readouterr().err


def test_help_names_extractors_and_presets_and_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from worldbench.cli import main\n"
        "try:\n    main(['distance', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'cv2', 'scipy', 'av', 'hydra'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"  {name} " in done.stdout for name in (*EXTRACTORS, *PRESETS))


# --- pieces ---------------------------------------------------------------------------------------


def test_cuts_follow_frames_stride_rate_and_count(make):
    (info,) = {e.info for e in FolderClips(make(1, 0, frames=32), Cut()).manifest.entries}

    def starts(cut: Cut) -> list[int]:
        return [round(times[0] * 15) for times in cut.times(info)]

    every = {"clips_per_video": None}
    assert starts(Cut(frames=8)) == [0]
    assert starts(Cut(frames=8, **every)) == [0, 8, 16, 24]
    assert starts(Cut(frames=8, stride=2, **every)) == [0, 16]
    assert starts(Cut(frames=8, every=4, **every)) == [0, 4, 8, 12, 16, 20, 24]
    assert starts(Cut(frames=8, every=4, clips_per_video=3)) == [0, 12, 24]
    assert starts(Cut(frames=33)) == []
    assert [len(times) for times in Cut(frames=None).times(info)] == [32]
    resampled = Cut(frames=5, fps=5.0).times(info)[0]
    assert resampled == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_clips_load_by_id_in_any_order(make):
    clips = FolderClips(make(3, 0, frames=16), Cut(frames=8, clips_per_video=None))
    ids = [clip.id for clip in clips.clips]
    assert len(ids) == 6
    every = clips.load(ids)
    assert (clips.load(ids[::-1]) == every[::-1]).all()
    with pytest.raises(DataError):
        FolderClips(Path("/nonexistent"), Cut())


def test_a_curve_is_drawn_whatever_its_numbers():
    points = [
        CurvePoint(8, 8, 4.0, 1.2, 0.1, 0.2, 3.0),
        CurvePoint(16, 4, 2.0, 0.4, 0.1, 0.1, 1.5),
        CurvePoint(32, 1, 1.0, None, 0.1, None, None),
    ]
    drawn = curve_svg(points, "a < b & c", limit=-0.2)
    assert "a &lt; b &amp; c" in drawn
    assert drawn.count("<circle") == 5
    assert "FD∞" in drawn
    assert curve_svg(points, "a < b & c", limit=-0.2) == drawn
    with pytest.raises(ValueError, match="at least 2 points"):
        curve_svg(points[:1], "one")
