"""Statistics against closed forms, scipy, brute force and simulated coverage."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats as scipy_stats

from worldbench import stats


def clustered_normal(
    generator: np.random.Generator, groups: int, spread: float = 1.0
) -> tuple[np.ndarray, list[str]]:
    """Mean-zero trials in clusters of one to five, half or more of the variance shared."""
    sizes = generator.integers(1, 6, groups)
    labels = np.repeat(np.arange(groups), sizes)
    shared = generator.normal(0.0, spread, groups)[labels]
    return shared + generator.normal(size=labels.size), [f"scene{i}" for i in labels]


# --- intervals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (0, 12), (12, 12), (5, 12), (1, 400)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_equals_scipy(successes, n, level):
    ours = stats.wilson(successes, n, level)
    theirs = scipy_stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.value == successes / n


def test_wilson_at_the_end_has_the_closed_form_n_over_n_plus_z_squared():
    interval = stats.wilson(20, 20)
    assert interval.low == pytest.approx(20 / (20 + 1.959963984540054**2))
    assert interval.high == 1.0


def test_wilson_covers_the_true_proportion():
    for n, share in [(10, 0.5), (30, 0.9), (60, 0.75)]:
        counts = np.arange(n + 1)
        chances = scipy_stats.binom.pmf(counts, n, share)
        intervals = [stats.wilson(int(k), n) for k in counts]
        covered = [i.low <= share <= i.high for i in intervals]
        assert float(chances @ covered) >= 0.93


def test_wilson_names_the_argument_it_refuses():
    with pytest.raises(ValueError, match="n must be at least 1"):
        stats.wilson(0, 0)
    with pytest.raises(ValueError, match="successes must lie between 0 and n = 3, got 4"):
        stats.wilson(4, 3)
    with pytest.raises(ValueError, match="level"):
        stats.wilson(1, 3, 1.0)


def test_cluster_mean_equals_scipy_bootstrap_of_a_ratio_of_sums():
    values, labels = clustered_normal(np.random.default_rng(0), 25)
    names = sorted(set(labels))
    sums = [sum(v for v, c in zip(values, labels, strict=True) if c == name) for name in names]
    sizes = [labels.count(name) for name in names]
    theirs = scipy_stats.bootstrap(
        (sums, sizes),
        lambda s, k, axis: s.sum(axis=axis) / k.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    ours = stats.cluster_mean(values, labels, draws=20_000)
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)
    assert ours.value == pytest.approx(np.mean(values))
    assert (ours.n, ours.clusters) == (len(values), 25)


def test_cluster_mean_reaches_the_quantiles_of_every_possible_resample():
    values, labels = np.array([0.1, 0.3, 0.9, 0.4, 0.7, 0.2]), ["a", "a", "b", "c", "c", "c"]
    clusters = [([0.1, 0.3], 2), ([0.9], 1), ([0.4, 0.7, 0.2], 3)]
    means = sorted(
        sum(sum(values) for values, _ in draw) / sum(size for _, size in draw)
        for draw in itertools.product(clusters, repeat=3)
    )
    # 27 resamples of chance 1/27 = 3.7 %: the 2.5 % tails end inside the first and the last.
    interval = stats.cluster_mean(values, labels, draws=4000)
    assert (interval.low, interval.high) == pytest.approx((means[0], means[-1]))


def test_cluster_mean_covers_the_mean_of_clustered_data_and_ignoring_clusters_does_not():
    generator = np.random.default_rng(3)
    hits, naive_hits, runs = 0, 0, 400
    for run in range(runs):
        values, labels = clustered_normal(generator, 40)
        interval = stats.cluster_mean(values, labels, draws=400, seed=run)
        hits += interval.low <= 0.0 <= interval.high
        trials = [str(i) for i in range(len(values))]
        naive = stats.cluster_mean(values, trials, draws=400, seed=run)
        naive_hits += naive.low <= 0.0 <= naive.high
    assert 0.90 <= hits / runs <= 0.98
    assert naive_hits / runs < 0.85


def test_cluster_mean_widens_as_clusters_share_more():
    widths = []
    for spread in (0.0, 1.0, 3.0):
        values, labels = clustered_normal(np.random.default_rng(8), 60, spread)
        interval = stats.cluster_mean(values, labels, draws=1000)
        widths.append(interval.high - interval.low)
    assert widths[0] < widths[1] < widths[2]


def test_cluster_mean_depends_neither_on_trial_order_nor_on_labels():
    generator = np.random.default_rng(4)
    values, labels = clustered_normal(generator, 15)
    order = generator.permutation(len(values))
    renamed = {label: hash(("other", i)) for i, label in enumerate(sorted(set(labels))[::-1])}
    one = stats.cluster_mean(values, labels, draws=500, seed=2)
    two = stats.cluster_mean(values[order], [renamed[labels[i]] for i in order], draws=500, seed=2)
    assert one == two
    assert one != stats.cluster_mean(values, labels, draws=500, seed=3)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_constant_scores_at_the_end_of_the_scale_get_wilson_on_clusters(score):
    interval = stats.cluster_mean(np.full(12, score), ["a", "b", "c", "d"] * 3)
    edge = stats.wilson(int(score) * 4, 4)
    assert (interval.low, interval.high) == (edge.low, edge.high)
    assert (interval.n, interval.clusters) == (12, 4)


def test_constant_differences_get_no_wilson_interval():
    interval = stats.cluster_mean(np.zeros(6), ["a", "b", "c"] * 2, bounded=False)
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("values", [[1.0, 1.0], [0.2, 0.7]])
def test_one_cluster_forms_no_interval(values):
    interval = stats.cluster_mean(np.array(values), ["a", "a"])
    assert (interval.low, interval.high, interval.clusters) == (None, None, 1)
    assert interval.value == pytest.approx(np.mean(values))


@pytest.mark.parametrize(
    ("values", "labels", "options", "message"),
    [
        ([], [], {}, "values is empty"),
        ([1.0, math.nan], ["a", "b"], {}, "values has 1 of 2 values that are not finite"),
        ([1.0, 2.0], ["a"], {}, "values has 2 values but clusters has 1 labels"),
        ([1.0, 2.0], ["a", "b"], {"draws": 0}, "draws"),
        ([1.0, 1.0], ["a", "b"], {"level": 95.0}, "level"),
    ],
)
def test_cluster_mean_names_the_argument_it_refuses(values, labels, options, message):
    with pytest.raises(ValueError, match=message):
        stats.cluster_mean(np.array(values, dtype=float), labels, **options)


def test_cluster_standard_error_with_one_trial_a_cluster_is_the_standard_error_of_the_mean():
    values = np.random.default_rng(1).normal(size=50)
    ours = stats.cluster_standard_error(values - values.mean(), [str(i) for i in range(50)])
    assert ours == pytest.approx(scipy_stats.sem(values))


def test_cluster_standard_error_of_equal_clusters_is_that_of_their_means():
    values = np.random.default_rng(2).normal(size=(20, 4))
    labels = np.repeat(np.arange(20), 4).tolist()
    ours = stats.cluster_standard_error((values - values.mean()).ravel(), labels)
    assert ours == pytest.approx(scipy_stats.sem(values.mean(axis=1)))


def test_cluster_standard_error_agrees_with_the_bootstrap_on_unequal_clusters():
    values, labels = clustered_normal(np.random.default_rng(6), 300)
    interval = stats.cluster_mean(values, labels, draws=4000)
    linear = stats.cluster_standard_error(values - values.mean(), labels)
    assert (interval.high - interval.low) / 2 / 1.96 == pytest.approx(linear, rel=0.06)


def test_cluster_sums_are_exact_whatever_the_order():
    values = np.array([1e16, 1.0, -1e16, -1.0])  # a running sum over the first three loses the 1
    for order in itertools.permutations(range(4)):
        labels = ["b" if i == 3 else "a" for i in order]
        assert stats.cluster_standard_error(values[list(order)], labels) == 0.5


def test_normal_interval_of_a_variance_covers_the_population_value():
    generator = np.random.default_rng(9)
    hits, runs = 0, 400
    for _ in range(runs):
        values, labels = clustered_normal(generator, 150)
        squares = (values - values.mean()) ** 2
        se = stats.cluster_standard_error(squares - squares.mean(), labels)
        interval = stats.normal_interval(float(squares.mean()), se, len(labels), 150)
        hits += interval.low <= 2.0 <= interval.high
    assert 0.90 <= hits / runs <= 0.98


def test_one_cluster_has_no_standard_error_and_no_normal_interval():
    assert stats.cluster_standard_error(np.array([0.1, -0.1]), ["a", "a"]) is None
    assert stats.normal_interval(3.0, None, 2, 1) == stats.Interval(3.0, None, None, 2, 1)


def test_normal_interval_refuses_a_negative_standard_error():
    with pytest.raises(ValueError, match="se must be finite and not negative, got -1"):
        stats.normal_interval(0.0, -1.0, 3, 3)


def test_an_interval_of_a_share_stays_within_0_and_1():
    assert stats.share_interval(0.5, 0.1, 9, 9) == stats.normal_interval(0.5, 0.1, 9, 9)
    near = stats.share_interval(0.96, 0.04, 24, 24)
    half = 1.959964 * 0.04 / (0.96 * 0.04)
    ends = [1 / (1 + math.exp(-math.log(24) - sign * half)) for sign in (-1, 1)]
    assert (near.low, near.high) == pytest.approx(ends, abs=1e-6)
    for value in (0.0, 1.0):
        edge = stats.share_interval(value, 0.0, 48, 24)
        wilson = stats.wilson(int(24 * value), 24)
        assert (edge.low, edge.high, edge.clusters) == (wilson.low, wilson.high, 24)
    assert stats.share_interval(1.0, None, 2, 1) == stats.Interval(1.0, None, None, 2, 1)
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"a share must be in \[0, 1\]"):
            stats.share_interval(wrong, 0.1, 3, 3)


# --- pair score and skill ----------------------------------------------------------------------


def test_the_more_surprising_future_wins_and_swapping_mirrors_the_score():
    high, low = np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 1.5])
    assert stats.pair_score(high, low) == 1.0
    assert stats.pair_score(low, high) == 0.0


@pytest.mark.parametrize(
    ("impossible", "possible", "score"),
    [
        ([0.0, 0.0], [0.0, 0.0], 0.5),
        ([2.0, 1.0], [1.0, 2.0], 0.5),
        ([1.0 + 0.9e-6], [1.0], 0.5),
        ([1.0 + 1.1e-6], [1.0], 1.0),
        ([-1.0], [-1.0 - 0.9e-6], 0.5),
        ([-1.0], [-1.0 - 1.1e-6], 1.0),
        ([1e-30], [0.0], 1.0),
        ([1e16, 1.0, -1e16], [0.0, 0.5, 0.0], 1.0),  # a running sum would lose the 1
    ],
)
def test_ties_are_relative_to_the_mean_magnitude(impossible, possible, score):
    assert stats.pair_score(np.array(impossible), np.array(possible)) == score


def test_float32_rounding_of_the_same_frames_in_another_order_is_a_tie():
    frames = np.random.default_rng(0).random(512).astype(np.float32)
    assert stats.pair_score(frames, frames[::-1].copy()) == 0.5


def test_pair_score_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="impossible has 2 values and possible 1"):
        stats.pair_score(np.ones(2), np.ones(1))
    with pytest.raises(ValueError, match="possible has 1 of 1 values that are not finite"):
        stats.pair_score(np.ones(1), np.array([math.inf]))
    with pytest.raises(ValueError, match="impossible is empty"):
        stats.pair_score(np.ones(0), np.ones(0))


@pytest.mark.parametrize(("floor", "ceiling"), [(0.5, 1.0), (40.0, 10.0)])
@pytest.mark.parametrize("share", [-0.5, 0.0, 0.25, 1.0, 1.5])
def test_skill_is_linear_between_floor_and_ceiling_and_not_clipped(floor, ceiling, share):
    value = floor + share * (ceiling - floor)
    result = stats.skill(value, floor, ceiling, standard_error=0.01)
    assert result.value == pytest.approx(share)
    assert result.reason is None


def test_skill_is_undefined_when_the_gap_is_under_three_standard_errors():
    vague = stats.skill(0.6, 0.5, 0.8, standard_error=0.11)
    assert vague.value is None
    assert vague.reason == "ceiling − floor = 0.3 is under 3 standard errors (0.11 each)"
    assert stats.skill(0.6, 0.8, 0.5, standard_error=0.11).value is None
    assert stats.skill(0.6, 0.5, 0.8, standard_error=0.09).value == pytest.approx(1 / 3)


def test_skill_is_undefined_without_a_gap_or_without_its_error():
    equal = stats.skill(0.6, 0.5, 0.5, standard_error=0.0)
    assert equal == stats.Skill(None, "floor and ceiling are equal (0.5)")
    unknown = stats.skill(0.6, 0.5, 0.8, standard_error=None)
    assert unknown.value is None
    assert "unknown" in str(unknown.reason)


def test_skill_refuses_numbers_that_are_not_finite():
    with pytest.raises(ValueError, match="ceiling must be finite, got nan"):
        stats.skill(0.6, 0.5, math.nan, standard_error=0.1)


def test_gap_standard_error_adds_the_errors_of_both_ends_in_quadrature():
    floor = stats.normal_interval(0.2, 0.03, 9, 9)
    ceiling = stats.normal_interval(0.9, 0.04, 9, 9)
    assert stats.gap_standard_error(floor, ceiling) == pytest.approx(0.05)
    known = stats.Interval(0.5, 0.5, 0.5, 9, 9)
    assert stats.gap_standard_error(known, ceiling) == pytest.approx(0.04)
    assert stats.gap_standard_error(stats.Interval(0.2, None, None, 9, 1), ceiling) is None


# --- significance ------------------------------------------------------------------------------


def test_paired_differences_align_by_trial_id():
    trials, differences = stats.paired_differences(
        {"t2": 1.0, "t1": 0.5, "only_a": 9.0}, {"t1": 0.25, "only_b": 9.0, "t2": 3.0}
    )
    assert trials == ["t1", "t2"]
    assert differences.tolist() == [0.25, -2.0]


def cluster_sums(values: np.ndarray, labels: list[str]) -> list[float]:
    return [
        sum(v for v, c in zip(values, labels, strict=True) if c == name)
        for name in sorted(set(labels))
    ]


@pytest.mark.parametrize("shift", [0.0, 0.6, 1.5])
def test_sign_flip_over_few_clusters_equals_scipy_exact_permutation(shift):
    values, labels = clustered_normal(np.random.default_rng(5), 10)
    values = values + shift
    theirs = scipy_stats.permutation_test(
        (cluster_sums(values, labels),),
        lambda sums, axis: np.sum(sums, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    assert stats.sign_flip(values, labels) == pytest.approx(theirs, abs=1e-12)


def test_sign_flip_drawn_at_random_approaches_the_exact_p():
    values, labels = clustered_normal(np.random.default_rng(12), 12)
    values = values + 0.4
    exact = stats.sign_flip(values, labels, draws=4096)
    drawn = stats.sign_flip(values, labels, draws=4095, seed=1)
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4095))


def test_sign_flip_of_tied_pair_scores_counts_ties():
    # ½ steps: of the 8 flips of (½, ½, 1), sums of magnitude 2 arise twice and of 1 twice.
    assert stats.sign_flip(np.array([0.5, 0.5, 1.0]), ["a", "b", "c"]) == 2 / 8
    assert stats.sign_flip(np.array([-0.5, -0.5, 1.0]), ["a", "b", "c"]) == 1.0
    # Rounding must not break ties either: 0.1 + 0.2 − 0.3 is not 0 in binary.
    assert stats.sign_flip(np.array([0.1, 0.2, -0.3]), ["a", "b", "c"]) == 1.0


def test_sign_flip_is_never_zero():
    many = [str(i) for i in range(200)]
    assert stats.sign_flip(np.ones(200), many, draws=999) == 1 / 1000
    assert stats.sign_flip(np.ones(3), ["a", "b", "c"]) == 2 / 8


def test_sign_flip_of_no_difference_or_one_cluster_is_one():
    assert stats.sign_flip(np.zeros(40), [str(i % 20) for i in range(40)]) == 1.0
    assert stats.sign_flip(np.ones(5), ["a"] * 5) == 1.0


@pytest.mark.parametrize("groups", [9, 40])
def test_sign_flip_depends_neither_on_order_nor_labels_nor_direction(groups):
    generator = np.random.default_rng(groups)
    values, labels = clustered_normal(generator, groups)
    order = generator.permutation(len(values))
    one = stats.sign_flip(values, labels, draws=800)
    renamed = [labels[i][::-1] + "x" for i in order]
    assert 0.0 < one < 1.0
    assert stats.sign_flip(-values[order], renamed, draws=800) == one


def test_sign_flip_rejects_five_percent_under_the_null_and_ignoring_clusters_rejects_more():
    generator = np.random.default_rng(21)
    runs, rejected, naive = 600, 0, 0
    for run in range(runs):
        values, labels = clustered_normal(generator, 20)
        rejected += stats.sign_flip(values, labels, draws=399, seed=run) <= 0.05
        trials = [str(i) for i in range(len(values))]
        naive += stats.sign_flip(values, trials, draws=399, seed=run) <= 0.05
    assert 0.03 <= rejected / runs <= 0.075
    assert naive / runs > 0.12


def test_sign_flip_finds_larger_differences_surer():
    values, labels = clustered_normal(np.random.default_rng(2), 30)
    values = values - values.mean()
    ladder = [stats.sign_flip(values + shift, labels, draws=2000) for shift in (0.1, 0.3, 0.6, 1.2)]
    assert ladder == sorted(ladder, reverse=True)
    assert ladder[-1] < 0.01 < ladder[0]


def test_sign_flip_refuses_nan_and_no_draws():
    with pytest.raises(ValueError, match="differences has 1 of 2 values that are not finite"):
        stats.sign_flip(np.array([0.1, math.nan]), ["a", "b"])
    with pytest.raises(ValueError, match="draws must be at least 1"):
        stats.sign_flip(np.ones(2), ["a", "b"], draws=0)


def test_holm_matches_a_hand_worked_example():
    adjusted = stats.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_equals_the_closure_of_bonferroni():
    # Closed testing: a hypothesis falls when every intersection that contains it does.
    generator = np.random.default_rng(0)
    for _ in range(20):
        p = generator.random(6) ** 3
        p[1] = p[0]
        subsets = [s for k in range(1, 7) for s in itertools.combinations(range(6), k)]
        brute = [
            max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets if i in s)
            for i in range(6)
        ]
        assert stats.holm(p) == pytest.approx(brute, abs=1e-15)


def test_holm_of_nothing_is_nothing_and_of_one_changes_nothing():
    assert stats.holm(np.array([], dtype=float)).size == 0
    assert stats.holm(np.array([0.2])).tolist() == [0.2]


@pytest.mark.parametrize("bad", [math.nan, -0.1, 1.1])
def test_holm_refuses_what_is_no_probability(bad):
    with pytest.raises(ValueError, match="p_values must be finite and within"):
        stats.holm(np.array([0.5, bad]))


def as_mapping(values: np.ndarray, prefix: str = "t") -> dict[str, float]:
    return {f"{prefix}{i}": float(v) for i, v in enumerate(values)}


def test_influence_difference_of_two_means_is_the_paired_z_test():
    generator = np.random.default_rng(7)
    a, b = generator.normal(size=(2, 60)) + generator.normal(size=60)
    scenes = {f"t{i}": f"s{i}" for i in range(60)}
    result = stats.influence_difference(
        as_mapping(a - a.mean()), as_mapping(b - b.mean()), scenes, scenes, a.mean(), b.mean()
    )
    se = scipy_stats.sem(a - b)
    assert result.difference == pytest.approx((a - b).mean())
    assert result.standard_error == pytest.approx(se)
    assert result.p == pytest.approx(2 * scipy_stats.norm.sf(abs((a - b).mean()) / se))


def test_influence_difference_of_disjoint_trials_adds_variances():
    generator = np.random.default_rng(8)
    a, b = generator.normal(size=200), generator.normal(size=300)
    psi_a, psi_b = as_mapping(a - a.mean(), "a"), as_mapping(b - b.mean(), "b")
    result = stats.influence_difference(
        psi_a, psi_b, {k: k for k in psi_a}, {k: k for k in psi_b}, 1.0, 2.0
    )
    expected = math.hypot(np.std(a) / math.sqrt(200), np.std(b) / math.sqrt(300))
    assert result.standard_error == pytest.approx(expected * math.sqrt(500 / 499))
    assert result.difference == -1.0


def test_two_sample_influence_rescaled_to_one_list_is_welch():
    generator = np.random.default_rng(10)
    x, y = generator.normal(size=80), generator.normal(0, 2, size=50)
    total = 130
    psi = np.concatenate([(x - x.mean()) * total / 80, -(y - y.mean()) * total / 50])
    ours = stats.cluster_standard_error(psi, [str(i) for i in range(total)])
    welch = math.sqrt(np.var(x) / 80 + np.var(y) / 50)
    assert ours == pytest.approx(welch * math.sqrt(total / (total - 1)))


def test_influence_difference_rejects_little_over_five_percent_of_equal_estimators():
    generator = np.random.default_rng(11)
    runs, rejected, unpaired_wider = 2000, 0, 0
    for _ in range(runs):
        common, labels = clustered_normal(generator, 50)
        a = common + 0.5 * generator.normal(size=common.size)
        b = common + 0.5 * generator.normal(size=common.size)
        scenes = {f"t{i}": label for i, label in enumerate(labels)}
        result = stats.influence_difference(
            as_mapping(a - a.mean()), as_mapping(b - b.mean()), scenes, scenes, a.mean(), b.mean()
        )
        rejected += result.p <= 0.05
        alone = stats.cluster_standard_error(a - a.mean(), labels)
        unpaired_wider += alone > result.standard_error
    # Long-run rate of the normal p here: .063 (6 000 runs); the bounds are 4 standard errors away.
    assert 0.041 <= rejected / runs <= 0.085
    assert unpaired_wider / runs > 0.9


def test_identical_adapters_do_not_differ_in_influence():
    psi = as_mapping(np.array([0.3, -0.1, -0.2]))
    scenes = {"t0": "x", "t1": "y", "t2": "z"}
    assert stats.influence_difference(psi, psi, scenes, scenes, 4.0, 4.0) == (0.0, 0.0, 1.0)


def test_influence_that_says_nothing_gives_no_p():
    psi = {"t0": 0.0, "t1": 0.0}
    degenerate = stats.influence_difference(
        psi, psi, {"t0": "x", "t1": "y"}, {"t0": "x", "t1": "y"}, 4.0, 3.0
    )
    assert degenerate == (1.0, 0.0, None)
    one = {"t0": "x", "t1": "x"}
    assert stats.influence_difference(psi, psi, one, one, 4.0, 3.0) == (1.0, None, None)


def test_influence_difference_refuses_clusters_that_are_missing_or_disagree():
    psi = {"t0": 0.1, "t1": -0.1}
    good, other = {"t0": "x", "t1": "y"}, {"t0": "x", "t1": "z"}
    with pytest.raises(ValueError, match="disagree on trial 't1'"):
        stats.influence_difference(psi, psi, good, other, 0.0, 0.0)
    with pytest.raises(ValueError, match="clusters_b has no cluster for trial 't0'"):
        stats.influence_difference(psi, psi, good, {}, 0.0, 0.0)
    with pytest.raises(ValueError, match="psi_a is empty"):
        stats.influence_difference({}, psi, good, good, 0.0, 0.0)


# --- ranks -------------------------------------------------------------------------------------


def made_up_board(scale: float = 1.0) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Two good adapters that cannot be told apart, a clearly worse one, one never run with them."""
    generator = np.random.default_rng(13)
    clusters = {f"t{i}": f"scene{i // 2}" for i in range(80)} | {"far": "elsewhere"}
    noise = generator.normal(0.0, 0.1, size=(3, 80))
    level = {"dit": 0.8, "jepa": 0.8, "copy": 0.5}
    scores = {
        name: {f"t{i}": scale * (mean + float(noise[row, i])) for i in range(80)}
        for row, (name, mean) in enumerate(level.items())
    }
    return scores | {"stranger": {"far": 0.0}}, clusters


def test_adapters_that_cannot_be_told_apart_share_a_rank():
    scores, clusters = made_up_board()
    ranks, comparisons = stats.rank_adapters(
        scores, clusters, metric="pair_accuracy", higher_is_better=True, draws=2000
    )
    assert ranks == {"dit": 1, "jepa": 1, "copy": 3, "stranger": 1}
    pairs = {(c.a, c.b): c for c in comparisons}
    assert sorted(pairs) == [("copy", "dit"), ("copy", "jepa"), ("dit", "jepa")]
    worse = pairs["copy", "dit"]
    means = {name: np.mean(list(trials.values())) for name, trials in scores.items()}
    assert worse.difference == pytest.approx(means["copy"] - means["dit"])
    assert (worse.n, worse.clusters, worse.better) == (80, 40, "dit")
    assert worse.adjusted == pytest.approx(3 * worse.p)
    assert pairs["dit", "jepa"].adjusted > 0.05


def test_ranks_turn_around_where_lower_is_better():
    scores, clusters = made_up_board()
    ranks, _ = stats.rank_adapters(
        scores, clusters, metric="error", higher_is_better=False, draws=2000
    )
    assert ranks == {"dit": 2, "jepa": 2, "copy": 1, "stranger": 1}


def test_a_larger_family_asks_for_more():
    scores, clusters = made_up_board()
    one = stats.pairwise(scores, clusters, metric="m0", higher_is_better=True, draws=99)
    family = [
        c
        for i in range(4)
        for c in stats.pairwise(scores, clusters, metric=f"m{i}", higher_is_better=True, draws=99)
    ]
    alone, together = stats.adjust(one), stats.adjust(family)
    assert stats.ranks(sorted(scores), alone)["copy"] == 3
    assert stats.ranks(sorted(scores), together[:3])["copy"] == 1
    assert [c.metric for c in together] == [c.metric for c in family]


def test_ranks_count_each_significantly_better_adapter():
    def won(winner: str, loser: str, adjusted: float) -> stats.Comparison:
        return stats.Comparison(winner, loser, "m", 0.1, 0.01, adjusted, 9, 9, True)

    comparisons = [
        won("a", "b", 0.2),
        won("b", "c", 0.2),
        won("a", "c", 0.01),
        won("a", "d", 0.001),
        won("b", "d", 0.05),
        won("c", "d", 0.051),
    ]
    assert stats.ranks(["a", "b", "c", "d"], comparisons) == {"a": 1, "b": 1, "c": 2, "d": 3}
    assert stats.ranks(["a", "b", "c", "d"], comparisons, alpha=0.005)["d"] == 2


def test_equal_scores_have_no_better_adapter():
    tied = stats.Comparison("a", "b", "m", 0.0, 1.0, 0.0, 9, 9, True)
    assert tied.better is None
    assert stats.ranks(["a", "b"], [tied]) == {"a": 1, "b": 1}


def test_ranks_refuse_comparisons_they_cannot_read():
    plain = stats.Comparison("a", "b", "m", 0.1, 0.01, None, 9, 9, True)
    done = stats.adjust([plain])
    with pytest.raises(ValueError, match="not adjusted"):
        stats.ranks(["a", "b"], [plain])
    with pytest.raises(ValueError, match="name 'b', which is not among names"):
        stats.ranks(["a"], done)
    other = stats.Comparison("a", "b", "k", 0.1, 0.01, 0.01, 9, 9, True)
    with pytest.raises(ValueError, match="mix metrics"):
        stats.ranks(["a", "b"], [*done, other])


def test_pairwise_names_the_trial_without_a_cluster():
    scores = {"a": {"t0": 1.0}, "b": {"t0": 0.0}}
    with pytest.raises(ValueError, match="no cluster for trial 't0'"):
        stats.pairwise(scores, {}, metric="m", higher_is_better=True)


def test_statistics_import_no_torch():
    code = "import sys, worldbench.stats; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
