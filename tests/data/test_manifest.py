import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from worldbench.data import manifest as manifest_module
from worldbench.data.files import contained
from worldbench.data.manifest import Excluded, Video, scan, unique
from worldbench.data.video import VideoInfo, encode, probe
from worldbench.errors import DataError

Make = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four videos of 6, 7, 8 and 9 frames at 10 frames per second."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    for index, name in enumerate(["b.mp4", "a.mp4", "sub/c.mp4", "sub/d.mp4"]):
        video = np.full((6 + index, 16, 16, 3), 40 * index, np.uint8)
        encode(root / name, video, 10, preset="ultrafast")
    return root


def listed(root: Path) -> list[Video]:
    return [Video(p.relative_to(root).as_posix(), label="x") for p in root.rglob("*.mp4")]


def count_probes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []

    def counted(path: str, root: Path) -> VideoInfo:
        seen.append(path)
        return probe(path, root)

    monkeypatch.setattr(manifest_module, "probe", counted)
    return seen


def test_a_scan_keeps_every_usable_video_sorted_with_what_it_holds(root: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = scan(listed(root), root, progress=lambda done, total: seen.append((done, total)))
    assert [entry.id for entry in result.entries] == ["a", "b", "sub/c", "sub/d"]
    assert [entry.info.frames for entry in result.entries] == [7, 6, 8, 9]
    assert result.file(result.entries[2]) == root.resolve() / "sub/c.mp4"
    assert result.entries[0].seconds == (0.0, pytest.approx(0.7))
    assert result.excluded == ()
    assert seen == [(n, 4) for n in (1, 2, 3, 4)]


def test_the_digest_ignores_the_place_the_order_and_the_workers(root: Path, tmp_path: Path) -> None:
    videos = listed(root)
    digest = scan(videos, root, workers=1).digest
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    assert scan(reversed(videos), moved, workers=3).digest == digest
    assert len(digest) == 64


def test_the_digest_depends_on_contents_labels_splits_and_exclusions(root: Path) -> None:
    videos = unique(listed(root))
    digests = {scan(videos, root).digest}
    digests.add(scan([Video(v.path, "y") for v in videos], root).digest)
    digests.add(scan([Video(v.path, "x", "train") for v in videos], root).digest)
    digests.add(scan([Video(v.path, "x", start=0.1) for v in videos], root).digest)
    digests.add(scan(videos[1:], root).digest)
    digests.add(scan([*videos, Video("none.mp4")], root, max_excluded=0.2).digest)
    encode(root / "a.mp4", np.full((7, 16, 16, 3), 99, np.uint8), 10)
    digests.add(scan(videos, root).digest)
    assert len(digests) == 7


def test_unusable_files_are_excluded_each_with_its_reason(root: Path) -> None:
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("not a video at all")
    (root / "list.mp4").write_text("#EXTM3U\nother.mp4\n")
    (root / "folder.mp4").mkdir()
    os.mkfifo(root / "fifo.mp4")
    cut = (root / "a.mp4").read_bytes()
    (root / "cut.mp4").write_bytes(cut[: cut.index(b"mdat") + 40])
    result = scan([*listed(root), Video("gone.mp4")], root, max_excluded=0.7)
    reasons = {item.path: item.reason for item in result.excluded}
    assert list(reasons) == sorted(reasons)
    assert reasons.pop("cut.mp4").startswith(("truncated: ", "no frame decodes"))
    assert reasons.pop("text.mp4").startswith("not a video container")
    assert reasons.pop("list.mp4").startswith("not a video container")
    assert reasons == {
        "empty.mp4": "empty file: 0 bytes",
        "fifo.mp4": "not a regular file but a device, FIFO or socket",
        "folder.mp4": "not a regular file but a folder",
        "gone.mp4": "missing file",
    }
    assert len(result.entries) == 4


def test_videos_slower_than_the_rate_asked_for_are_excluded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"a.mp4": 12.0, "b.mp4": 15 / 1.001, "sub/c.mp4": 14.6, "sub/d.mp4": 30.0}
    # A variable rate is measured: 30 is declared, 9 frames in 0.8 s are 10 steps per second.
    uneven = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.8)

    def fake(path: str, root: Path) -> VideoInfo:
        stamps = uneven if path == "sub/d.mp4" else ()
        return VideoInfo(9, "0" * 64, 16, 16, rates[path], 9, 9, stamps)

    monkeypatch.setattr(manifest_module, "probe", fake)
    result = scan(listed(root), root, min_fps=15.0, max_excluded=0.8)
    assert [entry.id for entry in result.entries] == ["b"]
    assert {item.path: item.reason.partition(" ")[0] for item in result.excluded} == {
        "a.mp4": "12",
        "sub/c.mp4": "14.6",
        "sub/d.mp4": "10",
    }
    reason = "12 frames per second, fewer than data.fps=15: frames would repeat"
    assert result.excluded[0].reason == reason
    assert len(scan(listed(root), root).entries) == 4
    with pytest.raises(DataError, match="3 of 4") as caught:
        scan(listed(root), root, min_fps=15.0)
    assert "lower data.fps" in str(caught.value)


def test_too_many_unusable_files_stop_the_scan_and_tell_the_override(root: Path) -> None:
    videos = [*listed(root), *(Video(f"none{n}.mp4") for n in range(7))]
    with pytest.raises(DataError, match="7 of 11 videos are unusable") as caught:
        scan(videos, root)
    message = str(caught.value)
    assert "none0.mp4 (missing file)" in message
    assert "and 2 more" in message
    assert "data.max_excluded=0.637" in message
    assert "data.fps" not in message
    assert len(scan(videos, root, max_excluded=0.637).excluded) == 7


def test_nothing_usable_is_an_error_whatever_share_is_allowed(root: Path) -> None:
    with pytest.raises(DataError, match="1 of 1 videos are unusable") as caught:
        scan([Video("none.mp4")], root, max_excluded=1.0)
    assert "repair, fetch or remove" in str(caught.value)
    assert "max_excluded=" not in str(caught.value)


def test_an_empty_listing_is_an_error(root: Path) -> None:
    with pytest.raises(DataError, match="no videos to scan") as caught:
        scan([], root)
    assert "check the root" in str(caught.value)


def test_too_short_videos_are_excluded_by_frames_and_by_seconds(root: Path) -> None:
    by_frames = scan(listed(root), root, min_frames=8, max_excluded=0.5)
    assert by_frames.excluded == (
        Excluded("a.mp4", "too short: 7 of 8 frames"),
        Excluded("b.mp4", "too short: 6 of 8 frames"),
    )
    by_seconds = scan(listed(root), root, min_seconds=0.7, max_excluded=0.5)
    assert by_seconds.excluded == (Excluded("b.mp4", "too short: 0.600 of 0.700 seconds"),)


def test_a_stretch_of_a_video_counts_by_its_own_length(root: Path) -> None:
    halves = [Video("sub/d.mp4", end=0.5), Video("sub/d.mp4", start=0.5)]
    result = scan(halves, root, min_frames=5, max_excluded=0.5)
    assert [(e.id, e.seconds) for e in result.entries] == [("sub/d@0-0.5", (0.0, 0.5))]
    assert halves[1].id == "sub/d@0.5-end"
    assert result.excluded == (Excluded("sub/d.mp4", "too short: 4 of 5 frames"),)


def test_duplicate_ids_are_listed(root: Path) -> None:
    with pytest.raises(DataError, match="1 duplicate video ids") as caught:
        scan([Video("a.mp4"), Video("b.mp4"), Video("a.webm")], root)
    assert "seen:     a\n" in str(caught.value)
    assert "rename or remove" in str(caught.value)


def test_a_path_that_leaves_the_root_is_never_a_mere_exclusion(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "a.mp4", tmp_path / "outside.mp4")
    (root / "leak.mp4").symlink_to(tmp_path / "outside.mp4")
    for path in ["../outside.mp4", "leak.mp4", str(tmp_path / "outside.mp4")]:
        with pytest.raises(DataError, match="leaves the data root") as caught:
            scan([*unique(listed(root))[:2], Video(path)], root, max_excluded=0.9)
        assert "copy them below it" in str(caught.value)
    assert contained("sub/../a.mp4", root) == "a.mp4"


def test_unchanged_files_are_not_decoded_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_probes(monkeypatch)
    cache = tmp_path / "cache"
    first = scan(listed(root), root, cache=cache)
    assert len(seen) == 4
    again = scan(listed(root), root, cache=cache)
    assert len(seen) == 4
    assert again == first
    encode(root / "b.mp4", np.zeros((12, 16, 16, 3), np.uint8), 10)
    changed = scan(listed(root), root, cache=cache)
    assert seen[4:] == ["b.mp4"]
    assert changed.entries[1].info.frames == 12
    assert changed.digest != first.digest


def flip_last_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    stamp = file.stat().st_mtime_ns + 1_000_000_000
    file.write_bytes(data)
    os.utime(file, ns=(stamp, stamp))


def test_a_change_of_one_byte_is_seen_in_the_cache_and_in_the_digest(
    root: Path, tmp_path: Path
) -> None:
    first = scan(listed(root), root, cache=tmp_path / "cache")
    flip_last_byte(root / "a.mp4")
    second = scan(listed(root), root, cache=tmp_path / "cache")
    assert second.entries[0].info.size_bytes == first.entries[0].info.size_bytes
    assert second.entries[0].info.sha256 != first.entries[0].info.sha256
    assert second.digest != first.digest


def test_without_a_cache_folder_nothing_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_probes(monkeypatch)
    scan(listed(root), root)
    scan(listed(root), root)
    assert len(seen) == 8


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda _: "[1, 2]",
        lambda text: text.replace('"schema": 1', '"schema": 0'),
        lambda text: json.dumps(json.loads(text) | {"files": [3]}),
        lambda text: text.replace('"frames"', '"pictures"'),
    ],
)
def test_a_damaged_cache_is_rebuilt(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[str], str]
) -> None:
    cache = tmp_path / "cache"
    first = scan(listed(root), root, cache=cache)
    (file,) = cache.iterdir()
    file.write_text(damage(file.read_text()))
    seen = count_probes(monkeypatch)
    assert scan(listed(root), root, cache=cache) == first
    assert len(seen) == 4
    scan(listed(root), root, cache=cache)
    assert len(seen) == 4


def test_an_interrupted_scan_keeps_what_it_found(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(listed(root), root, workers=1, cache=cache, progress=stop)
    seen = count_probes(monkeypatch)
    scan(listed(root), root, cache=cache)
    assert len(seen) < 4


def test_a_cache_folder_that_cannot_be_written_costs_a_warning_not_the_scan(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    result = scan(listed(root), root, cache=tmp_path / "file" / "cache")
    assert len(result.entries) == 4
    assert "scan results are not kept" in caplog.text


def test_variable_frame_rates_survive_the_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uneven = (0.0, 0.1, 0.25, 0.3000001)

    def fake(path: str, root: Path) -> VideoInfo:
        return VideoInfo(9, "0" * 64, 16, 16, 10.0, 4, 4, uneven)

    monkeypatch.setattr(manifest_module, "probe", fake)
    first = scan(listed(root), root, cache=tmp_path / "cache")
    count_probes(monkeypatch)
    again = scan(listed(root), root, cache=tmp_path / "cache")
    assert again == first
    assert again.entries[0].info.variable == uneven
