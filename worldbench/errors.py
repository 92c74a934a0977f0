"""Errors that tell the user what happened, the value seen, what is accepted and what to do next.

Every error a user can cause derives from :class:`WorldbenchError`; its ``exit_code`` is what the
command line returns (the table is in the README and in ``worldbench --help``).
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class WorldbenchError(Exception):
    """An expected failure, told in four parts so that no message forgets the way out.

    Args:
        what: What went wrong, naming the object concerned.
        seen: The offending value, if there is one.
        accepted: What would have been accepted.
        fix: The next command or edit that resolves it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        seen: object | None = None,
        accepted: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.seen, self.accepted, self.fix = what, seen, accepted, fix
        lines = [what]
        if seen is not None:
            lines.append(f"  seen:     {seen}")
        if accepted is not None:
            lines.append(f"  accepted: {accepted}")
        if fix is not None:
            lines.append(f"  fix:      {fix}")
        # File names and configuration come from outside: none may steer the terminal.
        text = "\n".join(lines)
        inert = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
        super().__init__("".join(inert))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries in sweeps; keyword-only arguments defeat the default.
        return _rebuild, (type(self), self.what, self.seen, self.accepted, self.fix)

    @property
    def one_line(self) -> str:
        """The whole message on one line, as records keep it."""
        return "; ".join(line.strip() for line in str(self).splitlines())


def _rebuild(
    kind: type[WorldbenchError],
    what: str,
    seen: object | None,
    accepted: str | None,
    fix: str | None,
) -> WorldbenchError:
    return kind(what, seen=seen, accepted=accepted, fix=fix)


class UsageError(WorldbenchError):
    """A name, option or configuration value that does not exist or does not fit."""

    exit_code = 2


class DataError(WorldbenchError):
    """Input data that cannot be used: unreadable videos, missing columns, escaping paths."""

    exit_code = 3


class EnvironmentFault(WorldbenchError):  # noqa: N818 - EnvironmentError is a builtin
    """The machine is in the way: a missing extra, a read-only folder, a clashing package."""

    exit_code = 4


class ContractError(WorldbenchError):
    """An adapter broke its contract: wrong shape, range, frame count, or values not finite."""


class RecordError(WorldbenchError):
    """A record that cannot be read: unknown schema version, wrong digest, not JSON."""


def unknown_name(kind: str, name: str, known: Iterable[str], *, fix: str) -> UsageError:
    """Builds the error for an unknown name, with the nearest match and every alternative.

    Args:
        kind: What the name should have been, e.g. ``"adapter"``.
        name: The name given.
        known: The names that exist.
        fix: The command that shows the alternatives in full.

    Returns:
        The error, for the caller to raise.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return UsageError(
        f"unknown {kind} {name!r}{hint}", accepted=", ".join(names) or "none installed", fix=fix
    )
