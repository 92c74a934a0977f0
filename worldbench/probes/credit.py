"""How right a head is: top-1, top-5 and what a whole fold says of it."""

from jaxtyping import Float, Int64
from torch import Tensor

_LEAST = 1e-6  # a probability below it, as of a class that nobody voted for, counts as this


def credit(
    scores: Float[Tensor, "... n k"], labels: Int64[Tensor, " n"], top: int
) -> Float[Tensor, "... n"]:
    """Returns how far each item's class is among the ``top`` highest scores, in [0, 1].

    Classes that tie for a place share it, so that a head that scores all classes alike gets what
    guessing gets.

    Args:
        scores: Higher is surer.
        labels: The right class of each item.
        top: How many classes may be named.
    """
    index = labels.expand(scores.shape[:-1])[..., None]
    own = scores.gather(-1, index)
    above = (scores > own).sum(dim=-1)
    alike = (scores == own).sum(dim=-1)
    return ((top - above).double() / alike).clamp(0, 1)


def surprise_at(
    scores: Float[Tensor, "... n k"], labels: Int64[Tensor, " n"]
) -> Float[Tensor, "..."]:
    """Returns the mean −log probability of the right classes, which breaks ties between heads.

    Args:
        scores: Probabilities.
        labels: The right class of each item.
    """
    index = labels.expand(scores.shape[:-1])[..., None]
    return -scores.gather(-1, index).double().clamp(min=_LEAST).log().mean(dim=(-2, -1))
