"""What a check finds, and the small words that checks are written in."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worldbench.errors import ContractError, EnvironmentFault, WorldbenchError


@dataclass(frozen=True)
class Outcome:
    """What one check found.

    Attributes:
        name: The promise.
        passed: True, False, or None where it does not apply.
        detail: Why it failed or does not apply.
    """

    name: str
    passed: bool | None
    detail: str = ""


def attempt(name: str, body: Callable[[], str | None]) -> Outcome:
    """Runs one check; a string returned means that it does not apply, and why.

    Raises:
        EnvironmentFault: If the machine is in the way, which tells nothing about the adapter.
    """
    try:
        reason = body()
    except EnvironmentFault:
        raise
    except WorldbenchError as error:
        return Outcome(name, False, error.one_line)
    except Exception as error:
        return Outcome(name, False, traceback.format_exception_only(error)[-1].strip())
    return Outcome(name, None if reason else True, reason or "")


def expect(condition: bool, what: str, seen: object = None) -> None:
    """Refuses a broken promise.

    Raises:
        ContractError: If the condition does not hold.
    """
    if not condition:
        raise ContractError(what, seen=seen)


def same(a: Tensor, b: Tensor, what: str) -> None:
    """Refuses tensors that are not bit-equal."""
    if not torch.equal(a, b):
        raise ContractError(what, seen=f"largest difference {float((a - b).abs().max()):.3g}")


def close(a: Tensor, b: Tensor, what: str) -> None:
    """Refuses tensors that differ by more than the order of a sum explains."""
    # Matrix products are summed in another order at another batch size.
    if not torch.allclose(a, b, rtol=1e-3, atol=1e-4):
        raise ContractError(what, seen=f"largest difference {float((a - b).abs().max()):.3g}")
