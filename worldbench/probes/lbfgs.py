"""L-BFGS on many independent problems at once (Nocedal & Wright 2006, section 7.2).

Each problem has its own memory, step length and end; all share one evaluation. A problem that is
done is taken out of the batch, so that the rest go on alone. The memory is applied in its compact
form (their theorem 7.4, for inverses): a few matrix products instead of a loop over it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

logger = logging.getLogger(__name__)

Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps parameters ``a n`` of the problems ``a`` to their values ``a`` and gradients ``a n``."""

_ARMIJO = 1e-4
_MEMORY = 10
_HALVINGS = 30


@dataclass
class _Running:
    """What the problems that go on know: indices, places, values, gradients, and their memory.

    Remembered steps and turns of the gradient, oldest first, are scaled to an inner product of 1;
    where nothing is remembered they are 0.
    """

    who: Int64[Tensor, " a"]
    place: Float[Tensor, "a n"]
    value: Float[Tensor, " a"]
    slope: Float[Tensor, "a n"]
    scale: Float[Tensor, "a n"]
    steps: Float[Tensor, "a m n"]
    turns: Float[Tensor, "a m n"]

    @property
    def steepest(self) -> Float[Tensor, " a"]:
        """Largest entry of each problem's gradient, times its scale."""
        return (self.slope * self.scale).abs().amax(dim=1)

    def keep(self, mask: Bool[Tensor, " a"]) -> None:
        """Drops problems."""
        if bool(mask.all()):
            return
        self.who, self.place, self.value = self.who[mask], self.place[mask], self.value[mask]
        self.slope, self.scale = self.slope[mask], self.scale[mask]
        self.steps, self.turns = self.steps[mask], self.turns[mask]


def minimise(
    evaluate: Evaluate,
    start: Float[Tensor, "h n"],
    scale: Float[Tensor, "h n"],
    *,
    tolerance: float = 1e-6,
    most: int = 500,
    rough: bool = False,
) -> Float[Tensor, "h n"]:
    """Minimises smooth convex functions.

    A problem that runs out of iterations, or that no step makes smaller, is left where it is. How
    many were is logged as a warning, together with the largest gradient that is left.

    Args:
        evaluate: Called with parameters ``a n`` and the indices ``a`` of the problems they are of.
        start: Where each problem starts.
        scale: The diagonal that a first step is scaled by, about the root of an inverse Hessian's.
        tolerance: A problem is done when no entry of its gradient, times ``scale``, is larger;
            along directions of little variance, gradients are small long before the minimum.
        most: Iterations after which a problem is left as it is.
        rough: Whether the end is only where another search starts, so that nothing is logged.

    Returns:
        The minimisers.
    """
    place = start.clone()
    who = torch.arange(len(start), device=start.device)
    value, slope = evaluate(start, who)
    memory = start.new_zeros(2, len(start), _MEMORY, start.shape[1])
    running = _Running(who, start.clone(), value, slope, scale, *memory)
    left, stuck = running.steepest, 0
    for _ in range(most):
        running.keep(running.steepest > tolerance)
        if len(running.who) == 0:
            break
        moved = _advance(running, evaluate)
        place[running.who], left[running.who] = running.place, running.steepest
        stuck += int((~moved).sum())
        running.keep(moved)
    if not rough:
        _tell(left, tolerance, stuck)
    return place


def _tell(left: Float[Tensor, " h"], tolerance: float, stuck: int) -> None:
    short = ~(left <= tolerance)  # also what is no number
    if bool(short.any()):
        logger.warning(
            "%d of %d heads did not reach the tolerance of %.1e, %d of them since no step made "
            "them better: the largest scaled gradient left is %.1e",
            int(short.sum()),
            len(left),
            tolerance,
            stuck,
            float(left.max()),
        )


def _advance(running: _Running, evaluate: Evaluate) -> Bool[Tensor, " a"]:
    """Takes one step of every problem; says which could."""
    way = -_direction(running)
    descent = (way * running.slope).sum(dim=1)
    length = torch.ones_like(descent)
    place, value, slope = running.place.clone(), running.value.clone(), running.slope.clone()
    open_ = torch.arange(len(descent), device=descent.device)
    for _ in range(_HALVINGS):
        tried = running.place[open_] + length[open_, None] * way[open_]
        found, turned = evaluate(tried, running.who[open_])
        good = found <= running.value[open_] + _ARMIJO * length[open_] * descent[open_]
        # Of a convex function, the slope along the way at its end says the same: values cannot
        # tell any more once what is left to gain is their rounding.
        good |= (way[open_] * turned).sum(dim=1) <= _ARMIJO * descent[open_]
        taken = open_[good]
        place[taken], value[taken], slope[taken] = tried[good], found[good], turned[good]
        open_ = open_[~good]
        if len(open_) == 0:
            break
        length[open_] *= 0.5
    _remember(running, place - running.place, slope - running.slope)
    running.place, running.value, running.slope = place, value, slope
    moved = torch.ones(len(descent), dtype=torch.bool, device=descent.device)
    moved[open_] = False
    return moved


def _remember(running: _Running, step: Float[Tensor, "a n"], turn: Float[Tensor, "a n"]) -> None:
    inner = (step * turn).sum(dim=1, keepdim=True)
    # A problem that did not move, or whose curvature is rounding, gives nothing to remember.
    curved = inner > 1e-14 * turn.square().sum(dim=1, keepdim=True)
    share = torch.where(curved, inner, torch.inf).rsqrt()
    for name, new in (("steps", step), ("turns", turn)):
        kept: Tensor = getattr(running, name)[:, 1:]
        setattr(running, name, torch.cat([kept, (share * new)[:, None]], dim=1))


def _direction(running: _Running) -> Float[Tensor, "a n"]:
    """Returns the inverse Hessian, as remembered, times the gradient."""
    steps, turns, slope = running.steps, running.turns, running.slope[..., None]
    newest = (running.scale * turns[:, -1].square()).sum(dim=1, keepdim=True)
    first = running.scale * torch.where(newest > 0, 1 / newest, 1.0)
    scaled = first[:, None] * turns
    eye = torch.eye(steps.shape[1], dtype=steps.dtype, device=steps.device)
    later = (steps @ turns.mT).triu(1) + eye
    a = torch.linalg.solve_triangular(later, steps @ slope, upper=True)
    right = a + scaled @ (turns.mT @ a) - scaled @ slope
    b = torch.linalg.solve_triangular(later.mT, right, upper=False)
    found: Tensor = first[..., None] * slope + steps.mT @ b - scaled.mT @ a
    return found[..., 0]
