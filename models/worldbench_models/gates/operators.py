"""How surprise is measured: the adapter's own headline, unless another is named."""

from worldbench.errors import UsageError
from worldbench.schema import AdapterCard

HEADLINES = ("denoising_error", "latent_error")
"""How surprise is measured where nobody says: the first of them that the adapter has."""


def chosen_operator(card: AdapterCard, asked: str | None = None) -> str:
    """Returns the operator asked for, or the adapter's own headline.

    Raises:
        UsageError: If the adapter has no such operator, or none was asked for and it has no
            headline.
    """
    own = [name for name in HEADLINES if name in card.operators]
    operator = own[0] if asked is None and own else asked
    if operator is None or operator not in card.operators:
        raise UsageError(
            f"adapter {card.name!r} has no such operator of surprise",
            seen=asked or f"none asked for, and neither {' nor '.join(HEADLINES)}",
            accepted=", ".join(card.operators) or "nothing: its card names none",
            fix="--operator NAME",
        )
    return operator
