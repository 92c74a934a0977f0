"""Movies of 16 used frames in three blocks; a window of 8 frames has five places in each."""

import json
import math
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import intphys_movies as movies
import numpy as np
import pytest
import torch
from latent_adapters import CopiesLatents
from omegaconf import OmegaConf
from torch import Tensor

import conf
from worldbench.adapter import Adapter, NoiseBank
from worldbench.adapters.real_future import RealFuture
from worldbench.adapters.still import CopyLast
from worldbench.batches import clip_batches, to_pixels
from worldbench.cell import Cell, Question
from worldbench.data.intphys import IntPhys2Data, IntPhysData
from worldbench.data.quadruplet_data import QuadrupletData
from worldbench.data.real import VideoData
from worldbench.errors import ContractError, DataError, UsageError
from worldbench.evaluate import evaluate
from worldbench.leaderboard import rows as board_rows
from worldbench.provenance import Stopwatch
from worldbench.schema import AdapterCard, MetricResult
from worldbench.suite import Batch, Row, Setting, Suite, Summary
from worldbench.suites.intphys import IntPhys, IntPhys2, View
from worldbench.suites.intphys_scorer import relative_score
from worldbench.tracking import NoTracker

CPU = torch.device("cpu")
SETTING = Setting(CPU, batch_size=4)
SUITE = IntPhys(window=8, slide=2, contexts=(2, 4, 6))
FEW = IntPhys(window=4, slide=4, contexts=(2,))
OPERATOR = "latent_error"


class Surprised:
    """An adapter whose surprise is whatever a function says of a window and its context."""

    def __init__(
        self,
        says: Callable[[Tensor, int], float],
        operators: Sequence[str] = (OPERATOR,),
        **card: Any,
    ) -> None:
        self.says, self.noise = says, []  # type: ignore[var-annotated]
        fields = {"name": "surprised", "revision": "1", "family": "predictive", **card}
        self.card = AdapterCard(capabilities=("surprises",), operators=tuple(operators), **fields)

    def surprise(self, video: Tensor, context: int, *, operator: str, noise: NoiseBank) -> Tensor:
        self.noise.append(noise.draw((2,), level=0.5, index=0, sign=1))
        stride = self.card.temporal_stride
        steps = -(-(video.shape[1] - context) // stride)
        sign = -1 if operator == "latent_error_fullclip" else 1
        values = [sign * self.says(window, context) for window in video]
        return torch.tensor(values)[:, None].expand(-1, steps)


PICTURES = {
    movies.picture(number, scene)[..., ::-1].tobytes(): number
    for scene in (0, 1, 10, 11, 20, 21)
    for number in {n for movie in movies.numbers().values() for n in movie}
}


def numbers_of(window: Tensor) -> list[int]:
    """Which pictures a window shows."""
    return [PICTURES[frame.tobytes()] for frame in to_pixels(window)]


def oracle(window: Tensor, context: int) -> float:
    """Notices where a movie goes on like another one."""
    kinds = [number >= 1000 for number in numbers_of(window)]
    return 1.0 if len(set(kinds)) > 1 else 0.25


def hashed(window: Tensor, context: int) -> float:
    """Arbitrary, but the same for the same window."""
    seed = [context, zlib.crc32(to_pixels(window).tobytes())]
    return float(np.random.default_rng(seed).uniform(1, 2))


def constant(window: Tensor, context: int) -> float:
    return 0.7


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return movies.write_intphys(tmp_path_factory.mktemp("intphys"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> IntPhysData:
    """Two scenes, for what takes its time."""
    root = movies.write_intphys(tmp_path_factory.mktemp("few"), blocks=("O1",))
    return IntPhysData("intphys", str(root), min_frames=8, size=(movies.SIDE, movies.SIDE))


@pytest.fixture(scope="module")
def data(root: Path) -> IntPhysData:
    return IntPhysData("intphys", str(root), min_frames=8, size=(movies.SIDE, movies.SIDE))


def rows_of(
    data: QuadrupletData, adapter: Adapter, suite: IntPhys = SUITE, size: int = 4
) -> list[Row]:
    trials, scorer = suite.trials(data), suite.scorer(data, SETTING)
    groups = [trials[i : i + size] for i in range(0, len(trials), size)]
    clips = clip_batches(data, [[c for t in g for c in t.clips] for g in groups], device=CPU)
    return [
        row
        for group, video in zip(groups, clips, strict=True)
        for row in scorer.score(adapter, Batch(tuple(group), video, 0))
    ]


def measure(data: QuadrupletData, adapter: Adapter, suite: IntPhys = SUITE) -> Summary:
    return suite.scorer(data, SETTING).summarise(rows_of(data, adapter, suite))


def metric(summary: Summary, name: str, **factors: object) -> MetricResult:
    wanted = {"operator": OPERATOR, **factors}
    (found,) = [m for m in summary.metrics if m.name == name and m.factors == wanted]
    return found


def values(summary: Summary) -> list[float | None]:
    return [m.value for m in summary.metrics]


def test_an_oracle_is_right_about_every_quadruplet(data):
    summary = measure(data, Surprised(oracle))
    assert set(values(summary)) == {1.0}
    (headline,) = [m for m in summary.metrics if m.headline]
    assert headline == metric(summary, "pair_accuracy")
    assert (headline.n, headline.clusters, headline.unit) == (6, 6, "")
    assert headline.low is not None
    assert 0.5 < headline.low < 1 == headline.high
    assert headline.reason is None


def test_every_context_and_block_has_its_line(data):
    summary = measure(data, Surprised(oracle))
    for context in (2, 4, 6, "minimum"):
        for aggregate in ("mean", "max"):
            metric(summary, "relative_accuracy", context=context, aggregate=aggregate)
        for block in ("O1", "O2", "O3"):
            part = metric(
                summary, "relative_accuracy", context=context, aggregate="mean", block=block
            )
            assert part.n == 2
    blocks = [metric(summary, "pair_accuracy", block=b) for b in ("O1", "O2", "O3")]
    assert [m.n for m in blocks] == [2, 2, 2]
    assert len(summary.metrics) == 1 + 3 + 4 * (1 + 3) + 4


def test_a_factor_of_one_value_is_no_breakdown(few):
    summary = measure(few, Surprised(constant), FEW)
    assert all("block" not in m.factors for m in summary.metrics)


def test_a_constant_is_exactly_at_one_half_everywhere(data):
    for adapter in (Surprised(constant), Surprised(lambda w, c: 0.0)):
        summary = measure(data, adapter)
        assert set(values(summary)) == {0.5}
        assert metric(summary, "pair_accuracy").value == 0.5


def test_a_scorer_of_single_frames_ties(data):
    """The same frames are in both halves: whoever looks at single frames cannot tell them apart."""
    suite = IntPhys(window=2, slide=1, contexts=(1,))
    by_frame = Surprised(lambda w, c: hashed(w[-1:], 0))
    # The window's last frame runs over all frames but the first, of which each half has both.
    summary = measure(data, by_frame, suite)
    assert metric(summary, "pair_accuracy").value == 0.5


def test_who_calls_possible_impossible_turns_every_score_round(data, root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "copy")
    for path in copy.rglob("status.json"):
        possible = json.loads(path.read_text())["header"]["is_possible"]
        path.write_text(json.dumps({"header": {"is_possible": not possible}}))
    swapped = IntPhysData("intphys", str(copy), min_frames=8, size=(movies.SIDE, movies.SIDE))
    one, other = (measure(d, Surprised(hashed)) for d in (data, swapped))
    assert 0 < metric(one, "relative_accuracy", context=2, aggregate="mean").value < 1
    for mine, theirs in zip(one.metrics, other.metrics, strict=True):
        assert mine.factors == theirs.factors
        assert mine.value == pytest.approx(1 - theirs.value)


def test_what_movies_are_called_changes_nothing(data, root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "copy")
    for scene in copy.glob("O*/*"):
        for old, new in (("1", "x"), ("4", "1"), ("x", "4")):
            (scene / old).rename(scene / new)
    renamed = IntPhysData("intphys", str(copy), min_frames=8, size=(movies.SIDE, movies.SIDE))
    one, other = (measure(d, Surprised(hashed)) for d in (data, renamed))
    assert values(one) == values(other)


def test_relative_accuracy_is_the_published_formula_but_for_ties(data):
    """An independent reading: per pair, mean (max) over all windows of each movie's own loss.

    Pairs share their first windows, so that maxima tie often.
    """
    losses: dict[str, dict[int, list[float]]] = {}
    for quadruplet in data.matched:
        clips = torch.from_numpy(data.load(quadruplet.movies)).permute(0, 1, 4, 2, 3).float() / 255
        for path, clip in zip(quadruplet.movies, clips, strict=True):
            windows = clip.unfold(0, 8, 2).permute(0, 4, 1, 2, 3)
            losses[path] = {c: [hashed(w, c) for w in windows] for c in (2, 4, 6)}
            assert len(windows) == 5
    summary = measure(data, Surprised(hashed))
    for context in (2, 4, 6):
        for aggregate, over in (("mean", np.mean), ("max", np.max)):
            sides = [
                (over(losses[q.movies[p]][context]), over(losses[q.movies[i]][context]))
                for q in data.matched
                for p, i in ((0, 2), (1, 3))
            ]
            right = [(p < i) + 0.5 * (p == i) for p, i in sides]
            found = metric(summary, "relative_accuracy", context=context, aggregate=aggregate)
            assert found.value == pytest.approx(np.mean(right))
    least = {p: np.min([known[c] for c in (2, 4, 6)], axis=0) for p, known in losses.items()}
    right = [
        least[q.movies[p]].mean() < least[q.movies[i]].mean()
        for q in data.matched
        for p, i in ((0, 2), (1, 3))
    ]
    found = metric(summary, "relative_accuracy", context="minimum", aggregate="mean")
    assert found.value == pytest.approx(np.mean(right))
    ours = [
        math.fsum(x for i in (2, 3) for c in (2, 4, 6) for x in losses[q.movies[i]][c])
        > math.fsum(x for p in (0, 1) for c in (2, 4, 6) for x in losses[q.movies[p]][c])
        for q in data.matched
    ]
    assert metric(summary, "pair_accuracy").value == pytest.approx(np.mean(ours))


def test_pairs_tie_at_one_half():
    surprises = np.array([[1.0, 2.0, 1.0, 3.0], [1.0, 2.0, 1.0, 1.0]])
    assert relative_score(surprises, ((0, 2), (1, 3)), "mean") == 0.5  # a tie, and a tie of sums
    assert relative_score(surprises, ((0, 2), (1, 3)), "max") == 0.75  # a tie, and 3 against 2
    both = ((0, 2), (1, 3), (0, 3), (1, 2))
    assert relative_score(surprises, both, "mean") == (0.5 + 0.5 + 1 + 0) / 4


def test_quadruplets_that_all_begin_alike_count_every_combination_and_say_so(tmp_path):
    alike = {kind: [7, *frames[1:]] for kind, frames in movies.numbers(splice=1).items()}
    movies.write_scene(tmp_path / "O1" / "01", movies=movies.numbers())
    movies.write_scene(
        tmp_path / "O1" / "02",
        movies=alike | {"I1": [7, *range(2000, 2032)], "I2": [7, *range(3000, 3032)]},
    )
    data = IntPhysData("intphys", str(tmp_path), min_frames=8, size=(24, 24))
    assert [q.exact for q in data.matched] == [True, False]
    summary = measure(data, Surprised(lambda w, c: float(w.mean())))
    found = metric(summary, "relative_accuracy", context=2, aggregate="mean")
    assert found.reason == "1 quadruplets begin alike: all four combinations of their movies count"


def test_contexts_that_an_adapter_cannot_take_are_skipped_with_a_reason_and_counted(data):
    summary = measure(data, Surprised(oracle, min_context=3, temporal_stride=2, frames=6))
    skipped = [m for m in summary.metrics if m.status == "skipped"]
    assert [m.factors["context"] for m in skipped] == [2, 6]
    assert skipped[0].reason == "the adapter cannot take a context of 2 frames"
    headline = metric(summary, "pair_accuracy")
    assert headline.value == 1.0
    assert headline.reason == "over 1 of 3 contexts, without 2, 6 frames"
    minimum = metric(summary, "relative_accuracy", context="minimum", aggregate="mean")
    assert minimum.reason == headline.reason


def test_who_cannot_be_asked_is_told_why():
    def card(**fields: Any) -> AdapterCard:
        return AdapterCard(**{"name": "x", "revision": "1", "family": "predictive", **fields})

    assert "needs an adapter that" in SUITE.unsupported(card(capabilities=("encodes",)))
    assert "needs an adapter that" in SUITE.unsupported(RealFuture().card)
    assert "no operator" in SUITE.unsupported(card(capabilities=("predicts",)))
    assert "no operator" in SUITE.unsupported(card(capabilities=("surprises",)))
    reason = SUITE.unsupported(card(capabilities=("generates",), min_context=7))
    assert "none of the contexts: 2 frames are not legal (≥ 7, multiples of 1)" in reason
    reason = SUITE.unsupported(card(capabilities=("generates",), frames=2))
    assert "2 frames leave no future in clips of 2" in reason
    assert SUITE.unsupported(card(capabilities=("generates",))) is None
    assert SUITE.unsupported(card(capabilities=("predicts", "encodes"))) is None


def test_the_published_operator_stands_beside_the_headline(data):
    both = Surprised(oracle, operators=("latent_error_fullclip", "latent_error", "other"))
    summary = measure(data, both)
    assert {m.factors["operator"] for m in summary.metrics} == {
        "latent_error",
        "latent_error_fullclip",
    }
    assert metric(summary, "pair_accuracy").value == 1.0
    fullclip = metric(summary, "pair_accuracy", operator="latent_error_fullclip")
    assert fullclip.value == 0.0
    assert [m for m in summary.metrics if m.headline] == [metric(summary, "pair_accuracy")]
    assert {row["pair_accuracy"] for row in summary.rows} == {1.0}


@pytest.mark.parametrize(
    "adapter",
    [Surprised(hashed), CopiesLatents(), CopyLast()],
    ids=["surprises", "predicts", "generates"],
)
def test_rows_do_not_depend_on_how_trials_are_batched(few, adapter):
    together, alone = (rows_of(few, adapter, FEW, size=size) for size in (2, 1))
    for one, other in zip(together, alone, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            expected = pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
            assert other[name] == expected


def test_movies_share_noise_at_each_place_and_places_do_not(data):
    adapter = Surprised(constant)
    rows_of(data, adapter, IntPhys(window=8, slide=2, contexts=(2,)), size=6)
    noise = torch.cat(adapter.noise).reshape(6 * 5, 4, 2)
    assert (noise == noise[:, :1]).all()
    assert len({tuple(place.flatten().tolist()) for place in noise}) == 30


@pytest.mark.parametrize("adapter", [CopiesLatents(), CopyLast()], ids=["predicts", "generates"])
def test_adapters_that_only_foresee_are_asked_too(few, adapter):
    summary = measure(few, adapter, FEW)
    operator = {"copies": "latent_error", "copy_last": "sample_distance"}[adapter.card.name]
    found = metric(summary, "pair_accuracy", operator=operator)
    assert found.value is not None
    assert 0 <= found.value <= 1
    surprise = [row[f"surprise.{operator}.{n}"] for row in summary.rows for n in range(4)]
    assert all(value > 0 for value in surprise)


def test_an_adapter_that_returns_rubbish_is_stopped(data):
    with pytest.raises(ContractError, match="not finite"):
        measure(data, Surprised(lambda w, c: float("nan")))


def test_frames_that_only_fill_up_are_never_shown(tmp_path):
    movies.write_scene(tmp_path / "O1" / "01")
    movies.write_scene(tmp_path / "O1" / "02", scene=1, movies=movies.numbers(41))
    data = IntPhysData("intphys", str(tmp_path), min_frames=8, size=(24, 24))
    seen: list[int] = []

    def says(window: Tensor, context: int) -> float:
        seen.append(len({frame.tobytes() for frame in to_pixels(window)}))
        return 1.0

    suite = IntPhys(window=8, slide=1, contexts=(2,))
    rows_of(data, Surprised(says), suite)
    assert len(seen) == 4 * (16 - 8 + 1) + 4 * (20 - 8 + 1)
    assert set(seen) == {8}


def test_the_first_window_is_asked_with_shorter_contexts_once():
    suite = IntPhys(window=8, slide=4, contexts=(4, 6), beginning=True)
    card = AdapterCard(name="x", revision="1", family="predictive")
    assert suite.views(card, 12) == {
        4: [View(2, 0), View(4, 0), View(4, 4)],
        6: [View(2, 0), View(4, 0), View(6, 0), View(6, 4)],
    }
    # As published: contexts 2, 4 … C − 2.
    assert [list(IntPhys2().earlier(c)) for c in (4, 12)] == [[2], [2, 4, 6, 8, 10]]
    later = card.model_copy(update={"min_context": 4})
    assert suite.views(later, 12)[6] == [View(4, 0), View(6, 0), View(6, 4)]
    assert (suite.untaken(card), suite.untaken(later), SUITE.untaken(later)) == (0, 1, 0)


def test_intphys2_from_end_to_end(tmp_path):
    conditions = ("permanence", "permanence", "solidity")
    root = movies.write_intphys2(tmp_path, conditions=conditions)
    data = IntPhys2Data("intphys2", str(root), step=2, min_frames=12, size=(32, 32))
    suite = IntPhys2(window=8, slide=2, contexts=(4, 6))
    adapter = Surprised(lambda w, c: float((w[c:].mean() - w[:c].mean()).abs()), min_context=4)
    summary = measure(data, adapter, suite)
    assert not [m for m in summary.metrics if m.factors.get("context") == "minimum"]
    parts = [metric(summary, "pair_accuracy", condition=c) for c in ("permanence", "solidity")]
    assert [m.n for m in parts] == [2, 1]
    assert metric(summary, "pair_accuracy", camera="Fixed").n == 2
    headline = metric(summary, "pair_accuracy")
    assert headline.reason == "without 1 shorter contexts of the first window"


def test_a_record_is_written_and_the_board_reads_its_rows(data, tmp_path):
    question = Question.of(SUITE, data, SETTING)
    cell = Cell.identify(Surprised(hashed), question, tmp_path)
    record = evaluate(cell, tracker=NoTracker(), watch=Stopwatch(CPU, ["test"], {}))
    assert record.body.status == "ok"
    headline = record.body.headline
    assert headline is not None
    columns = board_rows.load(cell.path, record)
    assert isinstance(columns, dict)
    scores = board_rows.scores(columns, "pair_accuracy")
    assert isinstance(scores, board_rows.Scores)
    assert len(scores.values) == len(set(scores.clusters.values())) == 6
    assert np.mean([*scores.values.values()]) == pytest.approx(headline.value)
    assert record.body.suite.protocol["contexts"] == [2, 4, 6]
    again = evaluate(cell, tracker=NoTracker(), watch=Stopwatch(CPU, ["test"], {}))
    assert again.body == record.body
    limited = Cell.identify(CopyLast(), Question.of(FEW, data, Setting(CPU, limit=2)), tmp_path)
    record = evaluate(limited, tracker=NoTracker(), watch=Stopwatch(CPU, ["test"], {}))
    assert record.body.headline is not None
    assert record.body.headline.n == 2


def test_an_adapter_without_a_legal_context_leaves_a_skipped_record(data, tmp_path):
    adapter = Surprised(oracle, min_context=9)
    cell = Cell.identify(adapter, Question.of(SUITE, data, SETTING), tmp_path)
    record = evaluate(cell, tracker=NoTracker(), watch=Stopwatch(CPU, ["test"], {}))
    assert record.body.status == "skipped"
    assert "can take none of the contexts" in str(record.body.reason)


def test_examples_show_the_quadruplet(data):
    scorer = SUITE.scorer(data, SETTING)
    trials = SUITE.trials(data)[:2]
    (clips,) = clip_batches(data, [[c for t in trials for c in t.clips]], device=CPU)
    shown = scorer.examples(Surprised(oracle), Batch(tuple(trials), clips, 0))
    assert list(shown) == [trial.id for trial in trials]
    video = shown[trials[0].id]
    assert video.shape == (16, 48, 48, 3)
    assert np.array_equal(video[0, :24, :24], video[0, 24:, :24])  # pairs begin alike
    assert not np.array_equal(video[0, :24, :24], video[0, :24, 24:])


def test_other_data_and_movies_shorter_than_the_window_are_refused(data, small_data):
    folder = VideoData("small", str(small_data), frames=8, fps=15.0, size=(64, 64))
    with pytest.raises(UsageError, match="needs movies in quadruplets") as caught:
        SUITE.trials(folder)
    assert "data=intphys" in str(caught.value)
    with pytest.raises(DataError, match="6 quadruplets are shorter than the window") as caught:
        IntPhys(window=17).trials(data)
    assert "data.min_frames=17" in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"window": 1},
        {"slide": 0},
        {"samples": 0},
        {"contexts": ()},
        {"contexts": (0, 2)},
        {"contexts": (4, 2)},
        {"contexts": (2, 2)},
        {"contexts": (2, 16)},
    ],
)
def test_numbers_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError, match=r"suite\.|a context leaves no future"):
        IntPhys(**options)


@pytest.mark.parametrize("kind", [IntPhys, IntPhys2])
def test_the_configuration_names_every_option_with_its_default(data, kind):
    options = OmegaConf.load(Path(conf.__path__[0], "suite", f"{kind.name}.yaml"))
    assert options._target_ == f"worldbench.suites.intphys.{kind.__name__}"
    plain = OmegaConf.to_container(options)
    assert isinstance(plain, dict)
    given = {k: v for k, v in plain.items() if k not in ("_target_", "summary", "name", "defaults")}
    suite = kind(**given)
    assert isinstance(suite, Suite)
    assert suite.protocol(data) == kind().protocol(data)
