"""What the reference models' adapters and recipes can be told, checked value by value.

Options come from YAML and the command line, so a value may be of any type.
"""

from collections.abc import Mapping, Sequence

from worldbench.errors import UsageError, unknown_name
from worldbench.options import at_least
from worldbench_models.blocks import SIZES

_SEEDS = 2**63


def count(option: str, value: object) -> int:
    """Returns the value, an integer of at least 1.

    Raises:
        UsageError: If it is anything else.
    """
    return at_least(f"adapter.{option}", value, 1)


def checked_seed(value: object) -> int:
    """Returns the value, an integer that can seed a generator.

    Raises:
        UsageError: If it is anything else.
    """
    seed = at_least("adapter.seed", value, 0)
    if seed >= _SEEDS:
        raise _refused("seed", value, f"an integer in [0, {_SEEDS})", "adapter.seed=0")
    return seed


def share(option: str, value: object) -> float:
    """Returns the value, a number in [0, 1].

    Raises:
        UsageError: If it is anything else.
    """
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise _refused(option, value, "a number in [0, 1]", f"adapter.{option}=0.3")
    return number


def recipe_numbers(model: str, options: Mapping[str, tuple[object, float]]) -> None:
    """Refuses a recipe's options that are no numbers from 0 to the highest that each allows.

    Args:
        model: The model, for the message.
        options: Value and highest value by the option's name.

    Raises:
        UsageError: For the first that is anything else.
    """
    for option, (value, highest) in options.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and 0 <= value <= highest):  # type: ignore[operator]
            raise UsageError(
                f"model.{option} is out of range",
                seen=value,
                accepted=f"a number from 0 to {highest:g}",
                fix=f"worldbench show {model}",
            )


def noise_levels(value: object) -> tuple[float, ...]:
    """Returns the levels, distinct numbers between 0 and 1.

    Raises:
        UsageError: If they are anything else.
    """
    given = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    levels = [level for each in given if (level := _number(each)) is not None and 0 < level < 1]
    if not given or len(set(levels)) != len(given):
        accepted = "a list of distinct numbers in (0, 1)"
        raise _refused("levels", value, accepted, "adapter.levels=[0.1,0.3,0.5,0.7]")
    return tuple(levels)


def known_size(value: object) -> str:
    """Returns the value, the name of a size.

    Raises:
        UsageError: If it is anything else.
    """
    if not isinstance(value, str) or value not in SIZES:
        raise unknown_name("adapter.size", str(value), SIZES, fix="adapter.size=s")
    return value


def weights_name(value: object) -> str | None:
    """Returns the value, text or None.

    Raises:
        UsageError: If it is anything else.
    """
    if value is not None and not isinstance(value, str):
        accepted = "a path, random, or null for the shipped weights"
        raise _refused("weights", value, accepted, "adapter.weights=null")
    return value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared as it is: an integer may be too large for a float.
    return float(value) if -1 <= value <= 2 else None


def _refused(option: str, seen: object, accepted: str, fix: str) -> UsageError:
    # None would go unmentioned.
    return UsageError(
        f"adapter.{option} is out of range", seen=repr(seen), accepted=accepted, fix=fix
    )
