import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from worldbench.adapter import Adapter, Replays, capabilities
from worldbench.adapters.rollout_manifest import file_name, file_names
from worldbench.adapters.video_folder import VideoFolder
from worldbench.answers import checked_rollout
from worldbench.data.video import encode
from worldbench.errors import DataError, UsageError
from worldbench.schema import Trial

STEP = 9  # grey levels between frames: far above what H.264 moves a flat picture by
FUTURE = torch.zeros(1, 4, 3, 32, 32)


def counting(path: Path, frames: int = 12, fps: float = 8, first: int = 0) -> Path:
    """Writes a video whose frame k is flat grey of level STEP * (first + k)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = STEP * (first + np.arange(frames, dtype=np.uint8))
    encode(path, np.broadcast_to(levels[:, None, None, None], (frames, 32, 32, 3)).copy(), fps)
    return path


def trial(name: str) -> Trial:
    return Trial(id=name, cluster=name.partition("@")[0], clips=(name,))


def manifest(root: Path, *lines: dict[str, object] | str) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (root / "manifest.jsonl").write_text("\n".join(texts))


def numbers(rollout: torch.Tensor) -> list[int]:
    """Which frames a rollout ``t 3 h w`` of a counting video consists of."""
    levels = rollout.mean(dim=(1, 2, 3)) * 255 / STEP
    assert (levels - levels.round()).abs().max() < 0.35
    return levels.round().int().tolist()


def replayed(folder: VideoFolder, *names: str, fps: float = 8, samples: int = 1) -> torch.Tensor:
    future = FUTURE.expand(len(names), -1, -1, -1, -1)
    rollout = folder.replay([trial(n) for n in names], future, fps=float(fps), samples=samples)
    return checked_rollout(
        folder.name,
        "replay",
        rollout,
        batch=len(names),
        samples=samples,
        horizon=4,
        size=(32, 32),
    )


def test_manifest_rollouts_answer_their_trials_and_samples(tmp_path):
    lines = []
    for first, (item, sample) in enumerate([("kick/b@1", 0), ("kick/a@0", 1), ("kick/a@0", 0)]):
        path = counting(tmp_path / "out" / f"{first}.mp4", frames=4, first=first)
        lines.append(
            {"item_id": item, "sample": sample, "path": f"out/{path.name}", "seed": 3, "fps": 8}
        )
    manifest(tmp_path, lines[0], "", lines[1], "  ", lines[2], "")
    folder = VideoFolder(str(tmp_path))
    both = replayed(folder, "kick/a@0", samples=2)
    assert numbers(both[0, 0]) == [2, 3, 4, 5]
    assert numbers(both[0, 1]) == [1, 2, 3, 4]
    batch = replayed(folder, "kick/b@1", "kick/a@0")
    assert numbers(batch[0, 0]) == [0, 1, 2, 3]
    assert numbers(batch[1, 0]) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("file_fps", "prefix", "fps", "expected"),
    [
        (8, 0, 8, [0, 1, 2, 3]),  # the file's first frame is the first future frame
        (8, 3, 8, [3, 4, 5, 6]),
        (16, 0, 8, [0, 2, 4, 6]),
        (16, 3, 8, [3, 5, 7, 9]),  # the prefix counts the file's own frames
        (24, 2, 10, [2, 4, 7, 9]),  # 2 + j * 2.4
        (12, 0, 8, [0, 1, 3, 4]),  # 1.5 and 4.5 are ties: the earlier frame
        (4, 1, 8, [1, 1, 2, 2]),
    ],
)
def test_future_frames_are_found_by_time_after_the_prefix(
    tmp_path, file_fps, prefix, fps, expected
):
    counting(tmp_path / "a@0-0.mp4", fps=file_fps)
    folder = VideoFolder(tmp_path, prefix_frames_included=prefix)
    assert numbers(replayed(folder, "a@0", fps=fps)[0, 0]) == expected


def test_a_declared_rate_overrules_the_container(tmp_path):
    counting(tmp_path / "a@0-0.mp4", fps=25)
    assert numbers(replayed(VideoFolder(tmp_path, fps=16), "a@0")[0, 0]) == [0, 2, 4, 6]
    line = {"item_id": "a@0", "sample": 0, "path": "a@0-0.mp4"}
    manifest(tmp_path, line | {"fps": 8, "prefix_frames_included": 2})
    options = VideoFolder(tmp_path, fps=16, prefix_frames_included=1)
    assert numbers(replayed(options, "a@0")[0, 0]) == [2, 3, 4, 5]
    manifest(tmp_path, line)
    assert numbers(replayed(VideoFolder(tmp_path, fps=16), "a@0")[0, 0]) == [0, 2, 4, 6]


def test_frames_are_scaled_cropped_at_the_centre_and_rgb(tmp_path):
    video = np.zeros((4, 64, 192, 3), np.uint8)
    video[:, :, 48:96], video[:, :, 96:144] = (200, 30, 30), (30, 30, 200)
    encode(tmp_path / "a@0-0.mp4", video, 8)
    future = torch.zeros(1, 4, 3, 32, 48)
    rollout = VideoFolder(tmp_path).replay([trial("a@0")], future, fps=8.0, samples=1)
    assert rollout.shape == (1, 1, 4, 3, 32, 48)
    for half, colour in ((slice(2, 22), (200, 30, 30)), (slice(26, 46), (30, 30, 200))):
        seen = rollout[0, 0, :, :, :, half].permute(1, 0, 2, 3).flatten(1) * 255
        assert (seen - torch.tensor(colour)[:, None]).abs().max() < 12


def test_a_rollout_that_lasts_just_long_enough_is_taken_and_a_shorter_one_refused(tmp_path):
    counting(tmp_path / "long@0-0.mp4", frames=4)
    counting(tmp_path / "short@0-0.mp4", frames=3)
    assert numbers(replayed(VideoFolder(tmp_path), "long@0")[0, 0]) == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"(?s)short@0, sample 0: too short.*3 frames at 8 fps"):
        replayed(VideoFolder(tmp_path), "short@0")
    for prefix in (1, 4, 99):
        with pytest.raises(DataError, match=f"long@0.*(?s:.*)of which {prefix} are context"):
            replayed(VideoFolder(tmp_path, prefix_frames_included=prefix), "long@0")


def test_an_unreadable_rollout_is_refused_with_its_trial(tmp_path):
    whole = counting(tmp_path / "a@0-0.mp4").read_bytes()
    (tmp_path / "a@0-0.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"rollout of a@0, sample 0"):
        replayed(VideoFolder(tmp_path), "a@0")
    (tmp_path / "a@0-0.mp4").write_text("<html>rate limit exceeded</html>")
    with pytest.raises(DataError, match=r"a@0-0.mp4: not a video container"):
        replayed(VideoFolder(tmp_path), "a@0")


def test_all_missing_trials_and_duplicates_are_listed_at_once(tmp_path):
    counting(tmp_path / "v.mp4")
    line = {"item_id": "a@0", "sample": 0, "path": "v.mp4"}
    manifest(tmp_path, line, line | {"item_id": "b@0"}, line | {"seed": 1})
    wanted = [trial(f"{n}@0") for n in ["a", "b", *(f"m{i:02}" for i in range(12))]]
    with pytest.raises(DataError) as caught:
        VideoFolder(tmp_path).require(wanted, samples=1)
    message = str(caught.value)
    assert "missing for 12 of 14 trials" in message
    assert "m09@0" in message
    assert "m10@0" not in message
    assert "(12 in all)" in message
    assert "1 duplicate: a@0 sample 0 (2 times)" in message
    with pytest.raises(DataError, match="duplicate"):
        replayed(VideoFolder(tmp_path), "b@0")


def test_fewer_samples_than_asked_are_refused_with_the_trial(tmp_path):
    counting(tmp_path / "kick_a@0-0.mp4")
    counting(tmp_path / "kick_a@0-2.mp4")
    folder = VideoFolder(tmp_path)
    folder.require([trial("kick/a@0")], samples=1)
    with pytest.raises(DataError, match=r"kick/a@0 \(as kick_a@0, sample 1, 3\)"):
        folder.require([trial("kick/a@0")], samples=4)


def test_files_that_answer_no_trial_are_a_warning_only(tmp_path, caplog):
    counting(tmp_path / "a@0-0.mp4")
    counting(tmp_path / "stray@7-0.mp4")
    folder = VideoFolder(tmp_path)
    with caplog.at_level(logging.WARNING):
        folder.require([trial("a@0")], samples=1)
    assert "rollouts of 1 items match no trial: stray@7" in caplog.text
    caplog.clear()
    replayed(folder, "a@0")  # a batch is not all trials: nothing to warn about
    assert not caplog.text


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{not json", "JSON"),
        ("[1, 2]", "object"),
        ({"item_id": "a@0", "path": "v.mp4"}, "sample"),
        ({"item_id": "a@0", "sample": 0, "path": "v.mp4", "label": 1}, "label = 1"),
        ({"item_id": "a@0", "sample": "0", "path": "v.mp4"}, "sample = '0'"),
        ({"item_id": "a@0", "sample": True, "path": "v.mp4"}, "sample = True"),
        ({"item_id": "a@0", "sample": -1, "path": "v.mp4"}, "sample = -1"),
        ({"item_id": "a@0", "sample": 0, "path": "v.mp4", "fps": 0}, "fps = 0"),
        ('{"item_id": "a@0", "sample": 0, "path": "v.mp4", "fps": NaN}', "fps = nan"),
        ({"item_id": "a@0", "sample": 0, "path": "gone.mp4"}, "missing file"),
        ({"item_id": "a@0", "sample": 0, "path": "v\0.mp4"}, "NUL"),
    ],
)
def test_a_malformed_manifest_line_is_refused_with_its_number(tmp_path, line, complaint):
    counting(tmp_path / "v.mp4")
    manifest(tmp_path, {"item_id": "ok@0", "sample": 0, "path": "v.mp4"}, "", line)
    with pytest.raises(DataError, match="line 3") as caught:
        _ = VideoFolder(tmp_path).card
    assert complaint in str(caught.value)


def test_paths_that_leave_the_folder_are_refused(tmp_path):
    outside, root = counting(tmp_path / "v.mp4"), tmp_path / "root"
    inside = counting(root / "deep" / "v.mp4")
    (root / "link.mp4").symlink_to(outside)
    for path in ("../v.mp4", "deep/../../v.mp4", str(outside), "link.mp4"):
        manifest(root, {"item_id": "a@0", "sample": 0, "path": path})
        with pytest.raises(DataError, match=r"line 1: path leaves"):
            replayed(VideoFolder(root), "a@0")
    for path in ("deep/v.mp4", str(inside)):
        manifest(root, {"item_id": "a@0", "sample": 0, "path": path})
        assert numbers(replayed(VideoFolder(root), "a@0")[0, 0]) == [0, 1, 2, 3]
    (root / "manifest.jsonl").unlink()
    (root / "link.mp4").rename(root / "a@0-0.mp4")
    with pytest.raises(DataError, match="path leaves"):
        replayed(VideoFolder(root), "a@0")


def test_file_names_are_safe_and_two_trials_never_share_one(tmp_path):
    assert file_name("kick/abc@0") == "kick_abc@0"
    assert file_name('.a:b\\c*"d"/e-1@2') == "_a_b_c__d__e-1@2"
    assert file_names(["a/b@0", "a/c@0"]) == {"a/b@0": "a_b@0", "a/c@0": "a_c@0"}
    with pytest.raises(DataError, match=r"'a/b@0' and 'a_b@0' are both 'a_b@0'"):
        file_names(["a/b@0", "a_b@0"])
    counting(tmp_path / "a_b@0-0.mp4")
    with pytest.raises(DataError, match="share one rollout"):
        VideoFolder(tmp_path).require([trial("a/b@0"), trial("a_b@0")], samples=1)
    counting(tmp_path / "x-3@1-0.mp4", first=5)
    assert numbers(replayed(VideoFolder(tmp_path), "x-3@1")[0, 0]) == [5, 6, 7, 8]


SOURCE = "split/0007_testing-videos_30FPS_perspective-left_take-1_trimmed-ball-hits-duck@0"
GENERATED = "0007_perspective-left_trimmed-ball-hits-duck.mp4"


def test_physics_iq_names_answer_testing_videos(tmp_path):
    counting(tmp_path / GENERATED, first=1)
    folder = VideoFolder(tmp_path)
    assert numbers(replayed(folder, SOURCE)[0, 0]) == [1, 2, 3, 4]
    for other in (
        SOURCE.replace("@0", "@1"),
        SOURCE.replace("0007", "0008"),
        SOURCE.replace("left", "right"),
        SOURCE.replace("duck", "nothing"),
        SOURCE.replace("testing", "full"),
    ):
        with pytest.raises(DataError, match="missing for 1 of 1"):
            folder.require([trial(other)], samples=1)


def test_physics_iq_runs_are_samples_in_the_order_of_their_numbers(tmp_path):
    for run in (10, 2, 1):
        counting(tmp_path / f"sora-bpp-run_{run}" / GENERATED, first=run)
    rollouts = replayed(VideoFolder(tmp_path), SOURCE, samples=3)[0]
    assert [numbers(r)[0] for r in rollouts] == [1, 2, 10]
    counting(tmp_path / "pika-bpp-run_01" / GENERATED)
    with pytest.raises(DataError, match="more than one model"):
        VideoFolder(tmp_path).require([trial(SOURCE)], samples=1)


def test_mixtures_and_unknown_names_are_refused_unless_the_layout_is_chosen(tmp_path):
    with pytest.raises(DataError, match=r"no .mp4 file(?s:.*)manifest.jsonl"):
        _ = VideoFolder(tmp_path).card
    counting(tmp_path / "a@0-0.mp4", first=2)
    counting(tmp_path / GENERATED)
    with pytest.raises(DataError, match="not a mixture"):
        _ = VideoFolder(tmp_path).card
    assert numbers(replayed(VideoFolder(tmp_path, layout="vbench"), "a@0")[0, 0])[0] == 2
    assert numbers(replayed(VideoFolder(tmp_path, layout="physics_iq"), SOURCE)[0, 0])[0] == 0
    with pytest.raises(DataError, match=r"cannot read .*manifest.jsonl"):
        _ = VideoFolder(tmp_path, layout="manifest").card
    (tmp_path / GENERATED).rename(tmp_path / "untitled.mp4")
    with pytest.raises(DataError, match=r"untitled.mp4"):
        _ = VideoFolder(tmp_path).card


def test_the_card_is_the_identity_of_what_the_files_answer(tmp_path):
    for name in ("one", "two"):
        counting(tmp_path / name / "v.mp4")
        manifest(tmp_path / name, {"item_id": "a@0", "sample": 0, "path": "v.mp4"})
    one, two = tmp_path / "one", tmp_path / "two"
    card = VideoFolder(one, name="sora", model="Sora 2", licence="proprietary").card
    assert (card.name, card.family, card.capabilities) == ("sora", "replay", ("replays",))
    assert "Sora 2" in card.summary
    assert card.licence == "proprietary"
    revision = VideoFolder(one).card.revision
    assert VideoFolder(two).card.revision == revision  # wherever the folder lies
    assert VideoFolder(two, prefix_frames_included=1).card.revision != revision
    assert VideoFolder(two, fps=4).card.revision != revision
    counting(two / "v.mp4", first=1)
    assert VideoFolder(two).card.revision != revision


def test_rollouts_of_several_models_are_refused(tmp_path):
    counting(tmp_path / "v.mp4")
    line = {"item_id": "a@0", "sample": 0, "path": "v.mp4", "model": "sora"}
    manifest(tmp_path, line, line | {"sample": 1, "model": "pika"})
    with pytest.raises(DataError, match="more than one model"):
        _ = VideoFolder(tmp_path).card


def test_construction_reads_nothing_and_the_config_builds_it(tmp_path):
    folder = VideoFolder("/nowhere/at/all")
    assert isinstance(folder, Replays)
    assert capabilities(pickle.loads(pickle.dumps(folder))) == ("replays",)
    with pytest.raises(DataError, match="not a folder"):
        _ = folder.card
    config = Path(__file__).parents[2] / "conf" / "adapter" / "video_folder.yaml"
    options = yaml.safe_load(config.read_text())
    assert options.pop("_target_") == f"{VideoFolder.__module__}.{VideoFolder.__qualname__}"
    assert options.pop("family") == "replay"
    assert options.pop("summary")
    counting(tmp_path / "a@0-0.mp4")
    assert isinstance(VideoFolder(**options | {"root": str(tmp_path)}), Adapter)


@pytest.mark.parametrize(
    "options", [{"layout": "vbnch"}, {"prefix_frames_included": -1}, {"fps": 0.0}]
)
def test_options_out_of_range_are_usage_errors(tmp_path, options):
    with pytest.raises(UsageError):
        _ = VideoFolder(tmp_path, **options).card
