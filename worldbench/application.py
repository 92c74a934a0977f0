"""The commands that Hydra composes, as their primary configurations describe them.

``run.yaml`` and ``train.yaml`` are the one place where options stand: defaults and comments there
are what the command takes and what its help says.
"""

from dataclasses import dataclass
from functools import cache

from worldbench.registry import config_folders, load_yaml

MODULES = {"run": "worldbench.run", "train": "worldbench_models.training.command"}
"""Where the ``main`` of each command is."""


@dataclass(frozen=True)
class Application:
    """What one command takes.

    Attributes:
        command: ``run`` or ``train``.
        required: Groups without a default, e.g. ``("adapter",)``.
        groups: Every group, in the order of the file.
        options: The plain options, in the order of the file.
        text: The file as the user should read it, without Hydra's own section.
    """

    command: str
    required: tuple[str, ...]
    groups: tuple[str, ...]
    options: tuple[str, ...]
    text: str

    @property
    def usage(self) -> str:
        """The command line in short."""
        names = " ".join(f"{group}=NAME" for group in self.required)
        return f"worldbench {self.command} [-m] [--config-dir DIR] {names} [OPTION=VALUE ...]"


@cache
def application(command: str) -> Application:
    """Reads the primary configuration of a command."""
    path = config_folders()[0].path / f"{command}.yaml"
    content = load_yaml(path)
    choices = {
        group: choice
        for default in content.pop("defaults")
        if isinstance(default, dict)
        for group, choice in default.items()
        if not group.startswith("override ")
    }
    return Application(
        command=command,
        required=tuple(group for group, choice in choices.items() if choice == "???"),
        groups=tuple(choices),
        options=tuple(option for option in content if option != "hydra"),
        text=path.read_text(encoding="utf-8").partition("\nhydra:")[0].rstrip(),
    )


def command_with(group: str) -> str:
    """Returns the command for which a group is chosen."""
    return next(command for command in MODULES if group in application(command).groups)
