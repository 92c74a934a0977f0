"""Pictures of real quads, of a few scenes, answered by adapters that cost nothing."""

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from latent_adapters import CopiesLatents
from quad_bench import cheap_tokens
from torch import Tensor

from worldbench.adapter import Adapter, NoiseBank
from worldbench.adapters.still import CopyLast
from worldbench.batches import clip_batches
from worldbench.data.source import Clip
from worldbench.data.worlds.content import Content
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.pictures.render import render
from worldbench.data.worlds.track import Track
from worldbench.errors import EnvironmentFault, UsageError
from worldbench.schema import AdapterCard, DataInfo, Trial
from worldbench.suite import Batch, Setting
from worldbench.suites.permanence import Permanence, is_headline
from worldbench.suites.show.__main__ import configurations, main, require_writable, write
from worldbench.suites.show.asked import AskedQuad, Interview, chosen
from worldbench.suites.show.columns import GAP, Columns, context_frames
from worldbench.suites.show.heat import heat
from worldbench.suites.show.page import Source, page, slug
from worldbench.suites.show.rollout_figure import rollout_figure
from worldbench.suites.show.surprise_figure import surprise_figure
from worldbench.suites.show.svg import wrapped

SETTING = Setting(torch.device("cpu"))
SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert('&')</script>"


@dataclass(frozen=True)
class Few:
    """Some quads of a set, rendered when they are asked for."""

    content: Content
    train: "Few | None" = None
    fps: float = 12.0

    @property
    def frames(self) -> int:
        return self.content.clips[0].track.frames

    @property
    def info(self) -> DataInfo:
        return DataInfo(name="few", digest=self.content.digest, clips=len(self.clips()), clusters=2)

    @property
    def protocol(self) -> dict[str, Any]:
        return {}

    @property
    def contents(self) -> frozenset[str]:
        return frozenset()

    def clips(self) -> list[Clip]:
        return [Clip(clip.id, clip.id, clip.cluster, "", 0.0) for clip in self.content.clips]

    @cached_property
    def _tracks(self) -> dict[str, Track]:
        return {clip.id: clip.track for clip in self.content.clips}

    def track(self, clip_id: str) -> Track:
        return self._tracks[clip_id]

    def load(self, ids: Sequence[str]) -> np.ndarray:
        return np.stack([pixels(self._tracks[clip_id]) for clip_id in ids])


def pixels(track: Track) -> np.ndarray:
    return np.asarray(render(track, supersample=1).rgb)


class Surprised:
    """Is surprised by what its trial's noise and the clip's future say; foresees nothing."""

    def __init__(self, name: str = "surprised", **card: Any) -> None:
        fields = {"revision": "5" * 64, "family": "predictive", "temporal_stride": 3, **card}
        known = AdapterCard(
            name="surprised",
            capabilities=("surprises",),
            operators=("denoising_error",),
            min_context=3,
            **fields,
        )
        # Cards refuse names that are no folders; what is drawn must not rely on it.
        self.card = known.model_copy(update={"name": name})

    def surprise(self, video: Tensor, context: int, *, operator: str, noise: NoiseBank) -> Tensor:
        steps = (video.shape[1] - context) // 3
        drawn = noise.draw((steps,), level=0.5, index=0, sign=1).abs()
        future = video[:, context:].reshape(len(video), steps, -1)
        return future.std(dim=2) + video[:, :context].mean(dim=(1, 2, 3, 4))[:, None] + drawn


class Replayed:
    card = AdapterCard(name="tape", revision="7", family="replay", capabilities=("replays",))


@pytest.fixture(scope="module", autouse=True)
def _cheap():
    with cheap_tokens():
        yield


@pytest.fixture(scope="module")
def data() -> Few:
    """The quads that are shown by themselves, and four training scenes to read them by."""
    content = WorldData("permanence_quick").content
    trials = {trial.id for trial in chosen(Permanence().trials(WorldData("permanence_quick")))}
    split = {clip.id: clip.split for clip in content.clips}
    presence = [q for q in content.quads if q.violation == "presence" and q.condition == "occluded"]
    shown = [quad for quad in presence if quad.id in trials]
    taught = [quad for quad in presence if split[quad.clips[0]] == "train"][:4]
    few = []
    for quads in (shown, taught):
        ids = {clip for quad in quads for clip in quad.clips}
        clips = tuple(clip for clip in content.clips if clip.id in ids)
        few.append(Few(Content("few", clips, tuple(quads))))
    return replace(few[0], train=few[1])


@pytest.fixture(scope="module")
def adapters() -> list[Adapter]:
    illegal = Surprised("short", max_context=3)
    return [CopiesLatents(), CopyLast(), Surprised(EVIL), illegal, Replayed()]


@pytest.fixture(scope="module")
def quads(data: Few, adapters: list[Adapter]) -> list[AskedQuad]:
    suite = Permanence()
    interview = Interview.of(suite, data, adapters, SETTING)
    return [interview.ask(trial) for trial in suite.trials(data)]


@pytest.fixture(scope="module")
def brief(quads: list[AskedQuad]) -> AskedQuad:
    return next(quad for quad in quads if quad.trial.factors["tier"] != "long")


def drawn(quad: AskedQuad) -> tuple[ET.Element, ET.Element]:
    return ET.fromstring(surprise_figure(quad)), ET.fromstring(rollout_figure(quad))


def texts(figure: ET.Element) -> list[str]:
    return ["".join(each.itertext()) for each in figure.iter(f"{SVG}text")]


def test_everything_is_written_and_reads_back(data, adapters, tmp_path: Path):
    suite = Permanence()
    trials = suite.trials(data)
    for folder in ("one", "two"):
        found = write(tmp_path / folder, suite, data, adapters[1:2], trials, SETTING, "show it")
        assert len(found) == 5
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    again = {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert files == again
    text = files.pop("README.md").decode()
    assert set(re.findall(r"\]\((.*?)\)", text)) == set(files)
    assert data.info.digest in text
    assert "\n```sh\nshow it\n```\n" in text
    for content in files.values():
        assert len(content) < 300_000
        for picture in ET.fromstring(content).iter(f"{SVG}image"):
            kind, encoded = picture.attrib["href"].split(",")
            assert kind == "data:image/jpeg;base64"
            raw = np.frombuffer(base64.b64decode(encoded), np.uint8)
            assert cv2.imdecode(raw, cv2.IMREAD_COLOR) is not None


def test_answers_are_those_of_the_suite_s_rows(data, adapters, quads):
    suite = Permanence()
    scorer = suite.scorer(data, SETTING)
    for quad in quads:
        (video,) = clip_batches(data, [quad.trial.clips], device=SETTING.device)
        for adapter, answer in list(zip(adapters, quad.answers, strict=True))[:4]:
            looked = video if answer.cut is None else video[:, : answer.cut.end]
            rows = scorer.score(adapter, Batch((quad.trial,), looked, 0))
            if answer.surprise is None:
                assert (rows[0]["role"], rows[0]["reason"]) == ("skipped", answer.reason)
                continue
            row = next(row for row in rows if row["role"] == "rollout")
            assert answer.cut is not None
            assert (row["operator"], row["context"]) == (
                answer.surprise.operator,
                answer.cut.context,
            )
            assert row["outcome"] == answer.surprise.outcome
            means = dict(
                zip(("A", "P", "I1", "I2"), answer.surprise.values.mean(axis=1), strict=True)
            )
            assert {name: row[f"mean_{name}"] for name in means} == means
            readings = [] if answer.foresight is None else list(answer.foresight.readings)
            assert [row for row in rows if row["role"] == "readout"] == readings


def test_maps_are_what_zones_are_read_off(quads):
    """A still of the last frame shows nothing new anywhere, so it ties."""
    for quad in quads:
        copied = quad.answers[1].foresight
        assert copied is not None
        assert copied.readings[0]["model.zone"] == 0.5
        assert float(copied.maps.abs().max()) < 1e-5
        assert copied.rollouts is not None
        context = quad.answers[1].cut.context
        assert np.abs(copied.rollouts[0, -1].astype(int) - quad.pair[0, context - 1]).max() == 0


def test_values_stand_under_their_frames_and_say_what_they_are(brief):
    figure, _ = drawn(brief)
    pictures = [
        (float(use.attrib["x"]), int(use.attrib["href"].lstrip("#ap")))
        for use in figure.iter(f"{SVG}use")
    ]
    width = float(next(figure.iter(f"{SVG}image")).attrib["width"])
    marks: dict[str, list[tuple[float, str]]] = {}
    for circle in figure.iter(f"{SVG}circle"):
        said = circle.find(f"{SVG}title")
        if said is not None and said.text is not None:
            clip, told = said.text.split(", ")
            marks.setdefault(clip, []).append((float(circle.attrib["cx"]), told))
    assert set(marks) == {"A", "P", "I1", "I2"}
    asked = [answer for answer in brief.answers if answer.surprise is not None]
    values = [value for answer in asked for value in answer.surprise.values[0]]
    assert len(marks["A"]) == len(values)
    for (x, told), value in zip(marks["A"], values, strict=True):
        frames, number = told.split(": ")
        first, last = int(frames.split("–")[0]), int(frames.split("–")[-1])
        lefts = [at for at, frame in pictures if first <= frame <= last]
        assert x == pytest.approx((min(lefts) + max(lefts) + width) / 2, abs=0.2)
        assert float(number) == pytest.approx(value, rel=1e-3, abs=1e-7)


def test_sums_and_outcomes_are_told(brief):
    figure, _ = drawn(brief)
    said = texts(figure)
    for answer in brief.answers[:3]:
        assert answer.surprise is not None
        mark, word = {1.0: "1 right", 0.5: "½ tie", 0.0: "0 wrong"}[answer.surprise.outcome].split()
        assert f"{mark} {word}" in said
    values = brief.answers[2].surprise.values
    line = next(t for t in said if t.startswith("I1 + I2") and f"{values[2:].sum():.3f}" in t)
    assert f"A + P = {values[:2].sum():.3f}" in line


def test_a_name_is_text_wherever_it_stands(brief, data):
    text = page([brief], Source("permanence@1", data.info, f"show {EVIL} ```"))
    assert "<script" not in text.replace(f"show {EVIL}", "")
    assert "\n````sh\n" in text
    for content in (surprise_figure(brief), rollout_figure(brief)):
        assert "<script" not in content
        assert EVIL in texts(ET.fromstring(content))


def test_who_could_not_be_asked_is_told_with_the_reason(brief, data):
    surprise, rollout = drawn(brief)
    start, stop = brief.run
    text = page([brief], Source("permanence@1", data.info, "show"))
    for name, reason in (
        ("short", f"no context that is legal for short lies within [{start}, {stop}]"),
        ("tape", "surprise is measured by denoising_error"),
    ):
        for figure in (surprise, rollout):
            said = texts(figure)
            assert name in said
            assert reason in " ".join(said)
        assert f"| {name} | not asked: " in text
    assert "it foresees neither pixels nor latents" in " ".join(texts(rollout))


def test_alike_names_are_told_apart_by_revision(data):
    alike = [CopyLast(), CopyLast()]
    interview = Interview.of(Permanence(), data, alike, SETTING)
    labels = {interview._label(adapter.card) for adapter in alike}
    assert labels == {f"copy_last {alike[0].card.revision[:6]}"}


def test_quads_are_chosen_by_rule_or_by_name(data):
    trials = Permanence().trials(WorldData("permanence_quick"))
    brief, long = chosen(trials)
    counted = [trial for trial in trials if is_headline(trial)]
    assert brief == next(t for t in counted if int(t.factors["hidden"]) <= 8)
    assert long == next(t for t in counted if t.factors["tier"] == "long")
    assert chosen(trials, [trials[3].id, trials[1].id, trials[3].id]) == [trials[3], trials[1]]
    with pytest.raises(UsageError, match="unknown quad 'nowhere'"):
        chosen(trials, ["nowhere"])
    with pytest.raises(UsageError, match="--quad ID"):
        chosen([trial for trial in trials if not is_headline(trial)])


def test_contexts_are_told_by_what_happened_and_by_the_run():
    assert context_frames(9, 14) == [0, 4, 8, 11, 13]
    assert context_frames(3, 4) == [0, 1, 2, 3]
    assert context_frames(0, 2) == [0, 1]
    columns = Columns.of([0, 4], 6, 8, left=100, aspect=2.0)
    assert columns.frames == (0, 4, 6, 7)
    assert columns.cell[0] == 2 * columns.cell[1]
    assert columns.x(6) == columns.x(5) == 100 + 2 * columns.pitch
    assert columns.middle(6, 8) == columns.x(7) - GAP / 2


def test_maps_are_warm_where_something_is_seen():
    frame = np.full((16, 16, 3), 200, np.uint8)
    coverage = np.zeros((2, 2), np.float32)
    coverage[0, 1], coverage[1, 0] = 0.6, -0.5
    seen = heat(frame, coverage, 0.3)
    assert (seen[8:] == 100).all()
    assert (seen[:8, :8] == 100).all()
    assert (seen[:8, 8:] == heat(frame, coverage * 2, 0.3)[:8, 8:]).all()
    assert seen[0, 8, 0] > 240
    assert (seen[:8, 8:] == seen[0, 8]).all()


def test_lines_break_at_blanks():
    assert wrapped("one two three", 1000) == ["one two three"]
    assert " ".join(wrapped("one two three four", 60)) == "one two three four"
    assert len(wrapped("one two three four", 60)) > 1


def test_ids_become_names_of_files():
    assert slug("presence-steady/test-0001/occluded") == "presence-steady_test-0001_occluded"
    assert slug("../é") == "quad"


def test_the_command_writes_a_page(monkeypatch, capsys, tmp_path: Path):
    """Of a violation whose futures are not read, so that two clips are all there is to render."""
    monkeypatch.setattr(
        WorldData,
        "load",
        lambda self, ids: np.stack([pixels(self.track(clip_id)) for clip_id in ids]),
    )
    trials: list[Trial] = Permanence().trials(WorldData("permanence_quick"))
    quad = next(trial.id for trial in trials if trial.factors["violation"] == "shape")
    out = tmp_path / "pictures"
    given = [str(out), "--adapter", "copy_last adapter.name=still", "--quad", quad]
    assert main([*given, "--device", "cpu"]) == 0
    name = f"surprise-{slug(quad)}.svg"
    assert capsys.readouterr().out.split() == [str(out / "README.md"), str(out / name)]
    text = (out / "README.md").read_text()
    told = f"pictures --adapter 'copy_last adapter.name=still' --quad {quad} --device cpu"
    assert f"python -m worldbench.suites.show {told}\n" in text
    assert str(tmp_path) not in text
    assert "The suite reads no futures of such a quad." in text
    assert "another shape" in texts(ET.fromstring((out / name).read_text()))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "nobody to ask"),
        (["--adapter", "copy_lost"], 2, "did you mean 'copy_last'?"),
        (["--adapter", " "], 2, "--adapter names nothing"),
        (["--adapter", "'copy_last"], 2, "--adapter names nothing"),
        (["--adapter", "copy_last adapter.speed=2"], 2, "adapter.speed"),
        (["--adapter", "copy_last", "--quad", "nowhere"], 2, "unknown quad 'nowhere'"),
        (["--adapter", "copy_last", "--data", "worlds"], 2, "asks about matched quads"),
        (["--adapter", "copy_last", "--seed", "-1"], 2, "--seed"),
        (["--adapter", "copy_last", "--device", "abacus"], 2, "abacus"),
    ],
)
def test_what_cannot_be_asked_is_an_error(arguments, code, said, capsys, tmp_path: Path):
    assert main([str(tmp_path / "out"), *arguments]) == code
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_told_before_anybody_is_asked(capsys, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    assert main([str(tmp_path / "file"), "--adapter", "copy_last"]) == 4
    assert "cannot write" in capsys.readouterr().err
    with pytest.raises(EnvironmentFault):
        require_writable(tmp_path / "file" / "below")


def test_adapters_are_given_with_or_without_their_group():
    one, two = configurations(["copy_last", "adapter=context_mean"], "permanence_quick")
    assert (one.adapter.name, two.adapter.name) == ("copy_last", "context_mean")
    assert one.suite.name == "permanence"
