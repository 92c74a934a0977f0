"""Options checked one by one, each with an error that names what would be accepted."""

from collections.abc import Sequence
from pathlib import Path

import torch

from worldbench.errors import UsageError


def one_of(option: str, value: object, accepted: Sequence[str]) -> str:
    """Returns the value, one of a few words.

    Raises:
        UsageError: If it is another; the fix shows the first word.
    """
    if not isinstance(value, str) or value not in accepted:
        raise UsageError(
            f"no such {option}",
            seen=value,
            accepted=", ".join(accepted),
            fix=f"{option}={accepted[0]}",
        )
    return value


def at_least(option: str, value: object, least: int, *, beside: str = "") -> int:
    """Returns the value, an integer of at least ``least``.

    Args:
        option: Its name.
        value: What was given.
        least: The least that is accepted.
        beside: A word that the caller accepts beside numbers, for the message.

    Raises:
        UsageError: If it is anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(
            f"{option} is not a usable number",
            seen=value,
            accepted=f"an integer of at least {least}" + (f", or {beside}" if beside else ""),
            fix=f"{option}={max(least, 1)}",
        )
    return value


def yes_or_no(option: str, value: object) -> bool:
    """Returns the value, true or false.

    Raises:
        UsageError: If it is anything else.
    """
    if not isinstance(value, bool):
        raise UsageError(
            f"{option} is neither true nor false",
            seen=value,
            accepted="true, false",
            fix=f"{option}=true",
        )
    return value


def folder_path(option: str, value: object) -> Path:
    """Returns the value, the path of a folder that need not exist.

    Raises:
        UsageError: If it is no text, or an empty one.
    """
    if not isinstance(value, str) or not value:
        raise UsageError(
            f"{option} names no folder",
            seen="null" if value is None else repr(value),
            accepted="a path; of a folder whose name is a number, ./2024",
            fix=f"{option}=./{option}",
        )
    return Path(value)


def choose_device(name: str) -> torch.device:
    """Resolves ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UsageError: If there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"cannot use device {name!r}",
            seen=str(error).splitlines()[0],
            accepted="auto, cpu, cuda or cuda:N, as far as this machine has them",
            fix="device=auto",
        ) from error
    return device
