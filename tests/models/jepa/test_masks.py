from collections.abc import Sequence

import pytest
import torch
from scipy.stats import chisquare

from worldbench_models.jepa.masks import (
    CONTEXTS,
    MULTI,
    TOKENS,
    MultiBlock,
    View,
    dealt,
    draw_covered,
    draw_masks,
    views,
)
from worldbench_models.jepa.network import CAUSAL, KINDS
from worldbench_models.patches import GRID

STEP = GRID[1] * GRID[2]
SHARES = (0.0, 0.2, 0.5, 0.75, 0.8, 1.0)
EVERY = tuple(range(1, GRID[0]))  # all contexts that leave a future
NAMES = ("short seen", "short hidden", "long seen", "long hidden")


def drawn(count: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    return draw_masks(count, torch.Generator().manual_seed(seed))


def listed(
    batch: int, causal: float, seed: int = 0, contexts: Sequence[int] = CONTEXTS
) -> list[View]:
    return views(batch, causal, drawn(dealt(batch, causal)[0], seed), contexts)


@pytest.mark.parametrize("causal", SHARES)
def test_no_token_is_both_seen_and_foreseen_nor_twice_either(causal: float) -> None:
    for view in listed(200, causal):
        both = torch.cat([view.seen, view.hidden], dim=1).sort(dim=1).values
        assert bool((both[:, 1:] > both[:, :-1]).all())
        assert int(both.min()) >= 0
        assert int(both.max()) < TOKENS
        assert view.tokens == both.shape[1]


def test_all_clips_have_masks_of_the_same_sizes_whatever_is_drawn() -> None:
    for seed in range(20):
        shapes = [tuple(mask.shape) for mask in drawn(3, seed)]
        assert shapes == [(3, n) for kind in MULTI.values() for n in (kind.seen, kind.hidden)]


@pytest.mark.parametrize("causal", SHARES)
def test_a_tenth_of_the_tokens_is_seen_at_least(causal: float) -> None:
    for contexts in (CONTEXTS, EVERY):
        found = listed(28, causal, contexts=contexts)
        assert all(view.seen.shape[1] >= TOKENS / 10 for view in found)


@pytest.mark.parametrize("name", NAMES)
def test_no_latent_step_is_preferred(name: str) -> None:
    """Cutting sorted lists of indices to a length would drop the last steps."""
    mask = drawn(2000)[NAMES.index(name)]
    by_step = torch.bincount(mask.flatten() // STEP, minlength=GRID[0])
    # Without replacement counts scatter less than chi-square's: a flat histogram passes easily.
    assert chisquare(by_step.numpy()).pvalue > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_every_step_has_the_same_tokens_in_masks(name: str) -> None:
    """Every token is seen, or hidden, as often as its position is in other steps."""
    mask = drawn(4000)[NAMES.index(name)]
    counts = torch.bincount(mask.flatten(), minlength=TOKENS).reshape(GRID).double()
    over_time = counts.mean(dim=0, keepdim=True)
    statistic = float(((counts - over_time).square() / over_time).sum())
    freedom = TOKENS - STEP
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("kind", MULTI.values(), ids=MULTI)
def test_no_side_of_the_picture_is_preferred(kind: MultiBlock) -> None:
    covered = draw_covered(kind, 50_000, torch.Generator().manual_seed(0)).float().mean(dim=0)
    for turned in (covered.flip(0), covered.flip(1)):
        assert float((turned - covered).abs().max()) < 0.01


@pytest.mark.parametrize("kind", MULTI)
def test_blocks_go_through_all_of_time(kind: str) -> None:
    """Hidden tokens lie in covered positions and seen ones outside, as far as there are enough."""
    count, sizes = 300, MULTI[kind]
    generator = torch.Generator().manual_seed(0)
    for name, each in MULTI.items():  # as they are drawn in turn
        covered = draw_covered(each, count, generator).flatten(1).repeat(1, GRID[0])
        torch.rand(count, TOKENS, generator=generator)
        if name == kind:
            break
    at = 2 * list(MULTI).index(kind)
    seen, hidden = drawn(count)[at : at + 2]
    total = covered.sum(dim=1)
    outside = covered.gather(1, seen).sum(dim=1)
    assert torch.equal(covered.gather(1, hidden).sum(dim=1), total.clamp(max=sizes.hidden))
    assert torch.equal(outside, (sizes.seen - (TOKENS - total)).clamp(min=0))
    assert float((total >= sizes.hidden).float().mean()) > 0.99
    assert float((outside == 0).float().mean()) > 0.6


@pytest.mark.parametrize(("scale", "blocks"), [(0.15, 1), (0.4, 1), (0.7, 1), (0.15, 8), (0.7, 2)])
def test_what_is_covered_matches_the_scale(scale: float, blocks: int) -> None:
    kind = MultiBlock(blocks, scale, 0, 0)
    covered = draw_covered(kind, 4000, torch.Generator().manual_seed(0)).float()
    each = covered.mean(dim=(1, 2))
    if blocks == 1:
        # Sides are whole numbers of tokens and end at the picture's edge.
        assert float(each.mean()) == pytest.approx(scale, rel=0.06)
        assert float(each.min()) > 0.6 * scale
        assert float(each.max()) < 1.4 * scale
    else:
        # Blocks overlap; they cover more than one and less than if they did not.
        assert scale < float(each.mean()) < min(1.0, blocks * scale)


def test_a_block_is_a_rectangle_of_moderate_aspect() -> None:
    covered = draw_covered(MultiBlock(1, 0.3, 0, 0), 500, torch.Generator().manual_seed(0))
    aspects = set()
    for picture in covered:
        rows, columns = picture.any(dim=1), picture.any(dim=0)
        assert torch.equal(picture, rows[:, None] & columns[None])
        for side in (rows, columns):  # in one piece
            assert int((side[1:] != side[:-1]).sum()) <= 2 - int(side[0]) - int(side[-1])
        aspects.add(int(rows.sum()) / int(columns.sum()))
    assert min(aspects) < 1 < max(aspects)
    assert min(aspects) > 0.5
    assert max(aspects) < 2


def test_long_masks_cover_more_than_short_ones() -> None:
    shares = {
        name: float(draw_covered(kind, 4000, torch.Generator().manual_seed(0)).float().mean())
        for name, kind in MULTI.items()
    }
    assert shares["long"] > shares["short"] + 0.1
    assert MULTI["long"].seen < MULTI["short"].seen
    assert (MULTI["short"].blocks, MULTI["short"].scale) == (8, 0.15)
    assert (MULTI["long"].blocks, MULTI["long"].scale) == (2, 0.7)


def test_causal_contexts_are_all_that_leave_a_future_unless_others_are_asked_for() -> None:
    assert [2 * steps for steps in CONTEXTS] == [2, 4, 6, 8, 10, 12, 14]
    assert [view.seen.shape[1] // STEP for view in listed(35, 1.0)] == [1, 2, 3, 4, 5, 6, 7]
    assert dealt(30, 0.5) == dealt(30, 0.5, CONTEXTS)


@pytest.mark.parametrize("contexts", [CONTEXTS, EVERY, (5,), (1, 7)])
def test_causal_masks_see_the_first_steps_and_foresee_all_the_rest(
    contexts: tuple[int, ...],
) -> None:
    found = listed(30, 1.0, contexts=contexts)
    assert [view.kind for view in found] == [CAUSAL] * len(contexts)
    for view, steps in zip(found, contexts, strict=True):
        numbers = torch.arange(TOKENS).expand(view.clips, -1)
        assert torch.equal(view.seen, numbers[:, : steps * STEP])
        assert torch.equal(view.hidden, numbers[:, steps * STEP :])


@pytest.mark.parametrize("causal", SHARES)
def test_every_clip_has_one_causal_mask_or_one_of_each_multi_block_kind(causal: float) -> None:
    for batch in (1, 2, 5, 8, 33):
        kinds: list[list[str]] = [[] for _ in range(batch)]
        for view in listed(batch, causal):
            for clip in range(view.first, view.first + view.clips):
                kinds[clip].append(KINDS[view.kind])
        multi = dealt(batch, causal)[0]
        assert kinds == [["short", "long"]] * multi + [["causal"]] * (batch - multi)


@pytest.mark.parametrize("causal", [*SHARES, 0.333, 0.01, 0.99])
def test_clips_are_dealt_out_without_a_rest_and_as_evenly_as_they_go(causal: float) -> None:
    for batch in range(1, 130):
        multi, each = dealt(batch, causal)
        assert multi + sum(each) == batch
        assert min(multi, *each) >= 0
        assert max(each) - min(each) <= 1
        assert abs(sum(each) - causal * batch) <= 0.5


@pytest.mark.parametrize("contexts", [EVERY, (5,), (1, 7)])
@pytest.mark.parametrize("causal", [*SHARES, 0.333])
def test_every_context_gets_the_same_share(contexts: tuple[int, ...], causal: float) -> None:
    for batch in (1, 6, 31, 512):
        multi, each = dealt(batch, causal, contexts)
        assert multi == dealt(batch, causal)[0]
        seen = [v.seen for v in listed(batch, causal, contexts=contexts) if v.kind == CAUSAL]
        histogram = [sum(len(s) for s in seen if s.shape[1] == c * STEP) for c in contexts]
        assert histogram == list(each)
        assert sum(histogram) == batch - multi
        assert max(histogram) - min(histogram) <= 1


def test_shapes_never_change_whatever_is_drawn() -> None:
    shapes = [
        [(v.kind, v.first, *v.seen.shape, *v.hidden.shape) for v in listed(32, 0.25, seed, EVERY)]
        for seed in range(5)
    ]
    assert all(each == shapes[0] for each in shapes)


def test_masks_follow_from_the_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, same, other = drawn(5), drawn(5), drawn(5, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, one, same))
    assert not any(map(torch.equal, one, other))
    assert not torch.equal(one[0][0], one[0][1])  # clips have masks of their own


def test_backward_masks_show_the_last_steps_and_hide_those_before() -> None:
    found = views(70, 1.0, drawn(0), EVERY, 0.5)
    assert sum(view.clips for view in found) == 70
    assert [view.first for view in found] == list(range(0, 70, 5))
    for steps, forward, backward in zip(EVERY, found[::2], found[1::2], strict=True):
        cut = steps * STEP
        assert torch.equal(forward.seen, torch.arange(cut).expand(5, -1))
        assert torch.equal(forward.hidden, torch.arange(cut, TOKENS).expand(5, -1))
        assert torch.equal(backward.seen, torch.arange(TOKENS - cut, TOKENS).expand(5, -1))
        assert torch.equal(backward.hidden, torch.arange(TOKENS - cut).expand(5, -1))


@pytest.mark.parametrize("backward", [0.0, 1.0])
def test_all_causal_masks_may_look_one_way(backward: float) -> None:
    found = views(28, 0.5, drawn(14), EVERY, backward)
    causal = [view for view in found if view.kind == CAUSAL]
    assert len(causal) == len(EVERY)
    assert all((int(view.seen[0, 0]) == 0) == (backward == 0.0) for view in causal)
