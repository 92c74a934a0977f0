"""Folds, few labels, credit for ranks, and grids of equal budget."""

from collections import Counter

import pytest
import torch

from worldbench.adapters.pixels import Pixels
from worldbench.probes.credit import credit, surprise_at
from worldbench.probes.folds import few_labels, selection_fold
from worldbench.probes.grid import BUDGET, FeatureCell, feature_cells, penalties

LABELS = ["a"] * 8 + ["b"] * 6 + ["c"]
CLUSTERS = [f"scene{i // 2}" for i in range(14)] + ["lone"]


def test_a_fold_holds_out_whole_scenes_of_every_class_that_has_two() -> None:
    held = selection_fold(LABELS, CLUSTERS)
    assert held is not None
    out = {cluster for cluster, is_out in zip(CLUSTERS, held, strict=True) if is_out}
    kept = {cluster for cluster, is_out in zip(CLUSTERS, held, strict=True) if not is_out}
    assert not out & kept
    counts = Counter(label for label, is_out in zip(LABELS, held, strict=True) if is_out)
    assert counts == {"a": 2, "b": 2}


def test_a_scene_of_several_classes_counts_for_each_of_them() -> None:
    labels, clusters = ["run", "run", "run", "jump"], ["a", "b", "c", "c"]
    held = selection_fold(labels, clusters)
    assert held is not None
    assert sum(held) == 1
    assert not held[3]  # nobody could learn to jump
    for split in range(10):
        assert {labels[i] for i in few_labels(labels, clusters, 0.3, split)} == {"run", "jump"}


def test_what_is_held_out_leaves_a_scene_of_every_class() -> None:
    films = [f"film{i}" for i in range(20) for _ in range(3)]
    labels = [f"action{(i * 7 + 3 * k) % 12}" for i in range(20) for k in range(3)]
    held = selection_fold(labels, films)
    assert held is not None
    for side in (True, False):
        told = {label for label, out in zip(labels, held, strict=True) if out is side}
        assert told == set(labels)
    for split in range(5):
        chosen = few_labels(labels, films, 0.1, split)
        assert {labels[i] for i in chosen} == set(labels)


def test_there_is_no_fold_where_every_class_has_one_scene() -> None:
    assert selection_fold(["a", "a", "b"], ["one", "one", "two"]) is None


def test_a_fold_does_not_depend_on_the_order_of_items() -> None:
    held = selection_fold(LABELS, CLUSTERS)
    turned = selection_fold(LABELS[::-1], CLUSTERS[::-1])
    assert held is not None
    assert turned is not None
    assert turned[::-1] == held


def test_few_labels_keep_a_scene_of_every_class_and_splits_differ() -> None:
    labels = [label for label in "abcd" for _ in range(20)]
    clusters = [f"{label}{i}" for i, label in enumerate(labels)]
    for share, each in ((0.01, 1), (0.1, 2), (0.5, 10)):
        chosen = [few_labels(labels, clusters, share, split) for split in range(3)]
        for index in chosen:
            assert Counter(labels[i] for i in index) == dict.fromkeys("abcd", each)
        assert len({tuple(index) for index in chosen}) == 3
    small, large = (set(few_labels(labels, clusters, share, 0)) for share in (0.1, 0.5))
    assert small < large


def test_credit_is_whether_a_class_is_among_the_first_and_ties_share_places() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.1, 0.4, 0.4, 0.1], [0.25] * 4])
    assert credit(scores, torch.tensor([0, 1, 3]), 1).tolist() == [1.0, 0.5, 0.25]
    assert credit(scores, torch.tensor([2, 3, 3]), 3).tolist() == [1.0, 0.5, 0.75]
    heads = scores.expand(2, 3, 4)
    assert credit(heads, torch.tensor([0, 1, 3]), 1).shape == (2, 3)


def test_surprise_is_the_mean_minus_log_probability() -> None:
    scores = torch.tensor([[[0.5, 0.5], [0.25, 0.75]], [[0.0, 1.0], [0.5, 0.5]]])
    found = surprise_at(scores, torch.tensor([0, 1]))
    assert found[0].item() == pytest.approx(-(torch.tensor([0.5, 0.75]).log().mean().item()))
    assert found[1].isfinite()


class Stack:
    def __init__(self, depth: int) -> None:
        self.layers = tuple(f"block{i + 1}" for i in range(depth))

    def encode(self, video, *, layer=None, noise=None, seed=0):
        raise AssertionError


class NoisyStack(Stack):
    noise_range = (0.0, 0.25)


def test_layers_are_taken_at_the_same_shares_of_any_depth() -> None:
    assert [c.layer for c in feature_cells(Stack(24))] == [
        "block6",
        "block12",
        "block18",
        "block24",
    ]
    assert [c.depth for c in feature_cells(Stack(4))] == [0.25, 0.5, 0.75, 1.0]
    assert [c.layer for c in feature_cells(Stack(2))] == ["block1", "block2"]
    assert feature_cells(Pixels()) == (FeatureCell(None, 1.0, None),)
    noisy = feature_cells(NoisyStack(4))
    assert len(noisy) == 16
    assert {cell.noise for cell in noisy} == {0.0, 0.05, 0.1, 0.2}


@pytest.mark.parametrize("cells", [1, 4, 5, 16, 20])
def test_every_model_has_as_many_heads_to_choose_from(cells: int) -> None:
    count = len(penalties(cells))
    assert BUDGET - cells < cells * count <= BUDGET
    assert penalties(cells)[0] == penalties(1)[0]
    assert penalties(cells)[-1] == penalties(1)[-1]
