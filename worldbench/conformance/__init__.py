"""``worldbench check``: the conformance kit for any adapter.

Each check puts one promise of the contract to the test on small synthetic clips, and fails with
the call and the values seen. A model that passes can be trusted by every suite: shapes and ranges,
determinism by seed, independence of batching, contexts left alone, illegal ones refused, horizons
met exactly, and no temporal leak: perturb the future, in memory and in what other questions have
shown before, and whatever was computed from the context must not move.
"""

from collections.abc import Iterator, Sequence

from worldbench.adapter import (
    Adapter,
    Encodes,
    EncodesLayers,
    Generates,
    Predicts,
    Replays,
    Surprises,
    capabilities,
)
from worldbench.conformance.latents import encodes, encodes_layers, predicts, surprises
from worldbench.conformance.outcome import Outcome, attempt, expect
from worldbench.conformance.pixels import generates, replays
from worldbench.conformance.subject import context_of

__all__ = ["Outcome", "check", "check_configured"]


def check_configured(overrides: Sequence[str], config_dir: str | None = None) -> bool:
    """Composes an adapter, checks it and prints the outcome.

    Returns:
        True if every check passed or does not apply.
    """
    from worldbench.compose import compose, instantiate

    config = compose(overrides, config_dir)
    outcomes = list(check(instantiate("adapter", config.adapter)))
    marks = {True: "ok     ", False: "FAILED ", None: "n/a    "}
    for outcome in outcomes:
        detail = f": {outcome.detail}" if outcome.detail else ""
        print(f"{marks[outcome.passed]} {outcome.name}{detail}")
    failed = sum(outcome.passed is False for outcome in outcomes)
    print(f"{config.adapter.name}: {failed} failed of {len(outcomes)} checks")
    return failed == 0


def check(adapter: Adapter) -> Iterator[Outcome]:
    """Yields the outcome of every check, card first."""
    outcome = attempt("card names its capabilities", lambda: _check_card(adapter))
    yield outcome
    if not outcome.passed:
        return
    if isinstance(adapter, Generates):
        yield from generates(adapter)
    if isinstance(adapter, Encodes):
        yield from encodes(adapter)
    if isinstance(adapter, EncodesLayers):
        yield from encodes_layers(adapter)
    if isinstance(adapter, Predicts):
        yield from predicts(adapter)
    if isinstance(adapter, Surprises):
        yield from surprises(adapter)
    if isinstance(adapter, Replays):
        yield from replays(adapter)


def _check_card(adapter: Adapter) -> None:
    expect(isinstance(adapter, Adapter), "the adapter has no card")
    has, says = set(capabilities(adapter)), set(adapter.card.capabilities)
    expect(bool(has), "the adapter implements no capability", type(adapter).__name__)
    expect(has == says, "card.capabilities differ from the methods", f"card {says}, methods {has}")
    if has & {"generates", "predicts", "surprises"}:
        context_of(adapter)
    expect(adapter.card == adapter.card, "the card changes from one look to the next")
