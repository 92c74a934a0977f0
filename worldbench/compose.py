"""From configuration to objects, with errors that name the fix.

Hydra owns the arguments. What stands here is the little around it: the search path of installed
packages, names checked before Hydra sees them, and headers stripped before instantiation.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from worldbench import registry
from worldbench.application import application, command_with
from worldbench.errors import UsageError, WorldbenchError

_HEADER = {"summary", "family"}
_NAMELESS = {"suite", "tracker", "model"}  # groups whose objects are not named by the user
_OVERRIDE = re.compile(r"(?P<group>\w+)=(?P<value>[^=]+)")


class InstalledConfigs(SearchPathPlugin):
    """Adds the configuration folders of installed packages to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Appends each package of the entry-point group ``worldbench.conf``."""
        for folder in registry.config_folders():
            if folder.module is not None:
                search_path.append(provider=folder.origin, path=f"file://{folder.path}")


def register_search_path() -> None:
    """Tells Hydra of installed configurations.

    In code, because a ``hydra_plugins`` folder is not found in editable installs.
    """
    Plugins.instance().register(InstalledConfigs)


def check_names(
    overrides: Sequence[str],
    config_dir: str | None = None,
    *,
    command: str = "run",
    sweep: bool = False,
) -> None:
    """Checks ``adapter=a,b``, ``suite=…``, ``model=…`` and so on against the registry.

    Raises:
        UsageError: For an unknown name, with the nearest match and the alternatives, for a group
            that the command does not take, and for several names where there is no sweep.
    """
    groups = [group for group in application(command).groups if group in registry.GROUPS]
    for override in overrides:
        match = _OVERRIDE.fullmatch(override)
        if match is None or match["group"] not in registry.GROUPS:
            continue
        if match["group"] not in groups:
            raise UsageError(
                f"there is no {match['group']} to choose here",
                seen=override,
                accepted=", ".join(f"{group}=NAME" for group in groups),
                fix=f"worldbench {command_with(match['group'])} {override}",
            )
        plain = [n.strip() for n in match["value"].split(",")]
        if all(re.fullmatch(r"[\w.-]+", name) for name in plain):  # not glob() or choice()
            registry.require(match["group"], plain, config_dir)
            if len(plain) > 1 and not sweep:
                raise UsageError(
                    f"several values for {match['group']} make a sweep",
                    seen=override,
                    accepted="one value, or a sweep with -m",
                    fix=f"worldbench {command} -m ...",
                )


def compose(overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Composes the run configuration outside of ``hydra.main``, for ``check`` and ``data``.

    Raises:
        UsageError: If the overrides do not fit.
    """
    check_names(overrides, config_dir)
    register_search_path()
    extra = []
    if config_dir is not None:
        quoted = QuotedString(f"file://{config_dir}", Quote.single).with_quotes()
        extra.append(f"hydra.searchpath=[{quoted}]")
    GlobalHydra.instance().clear()
    with (
        explained(),
        initialize_config_module("worldbench.conf", version_base="1.3"),
    ):
        return hydra_compose("run", overrides=[*overrides, *extra])


@contextmanager
def explained() -> Iterator[None]:
    """Turns Hydra's and OmegaConf's errors into ours."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from error


def explain(error: Exception, command: str = "run") -> WorldbenchError:
    """Returns a usage error that says which option is wrong and what would be right."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, WorldbenchError):
        return cause
    text = str(error).strip()
    if "???" in text or "Missing mandatory value" in text or "You must specify" in text:
        return UsageError(
            "an option that has no default is missing",
            seen=text.splitlines()[0],
            fix="give it on the command line; `worldbench show NAME` lists the options",
        )
    unknown = re.search(
        r"(?:Key|key) '([^']+)' is not in struct|Could not override '([^']+)'", text
    )
    if unknown is not None:
        full = re.search(r"full_key: (\S+)", text)
        name = full[1] if full is not None else next(filter(None, unknown.groups()))
        if not text.startswith("Could not"):  # it composed, and the option was looked for in vain
            return UsageError(
                f"the option {name!r} was taken away, which is not possible",
                accepted="a value for every option, null where `worldbench show` has it",
                fix=f"leave ~{name} out, or give another value: {name}=...",
            )
        app = application(command)
        known = (*app.groups, *app.options)
        near = difflib.get_close_matches(name.split(".")[-1], known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near and "." not in name else ""
        return UsageError(
            f"unknown override {name!r}{hint}",
            accepted=f"{', '.join(known)}, and the options of the chosen configurations",
            fix=f"worldbench {command} --help, or worldbench show NAME for one configuration's "
            "options; in a sweep, an option that only some take goes into their YAML or a run of "
            "its own",
        )
    fix = f"worldbench {command} --help"
    return UsageError("the configuration does not compose", seen=text, fix=fix)


def instantiate(group: str, config: DictConfig) -> Any:
    """Makes the object that a configuration describes.

    The header is for people: ``summary`` and ``family`` are not passed on, ``name`` only where
    the object shows it (adapters and data).

    Raises:
        UsageError: If an option without a default is missing, or the target cannot be imported or
            does not take the options given.
        Exception: What the target itself raises.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UsageError(
            f"{group} {config.name!r} needs {' and '.join(missing)}",
            fix=" ".join(f"{name}=..." for name in missing)
            + f"; worldbench show {config.name} lists all options",
        )
    strip = _HEADER | ({"name"} if group in _NAMELESS else set())
    resolved: Any = OmegaConf.to_container(config, resolve=True)
    options = {name: value for name, value in resolved.items() if name not in strip}
    try:
        return hydra_instantiate(OmegaConf.create(options), _convert_="all")
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, WorldbenchError):
            raise cause from None
        if isinstance(cause, ImportError) or str(error).startswith("Error locating target"):
            raise UsageError(
                f"{group} {config.name!r} needs something that is not installed",
                seen=cause,
                fix=f"install it, correct _target_ {options.get('_target_')!r}, or, if its module "
                "lies in this folder, put PYTHONPATH=. before the command",
            ) from error
        if isinstance(cause, TypeError):
            raise UsageError(
                f"{group} {config.name!r} does not take these options",
                seen=cause,
                accepted="the parameters of " + str(options.get("_target_")),
                fix=f"worldbench show {config.name}",
            ) from error
        if isinstance(cause, ValidationError):
            first = cause.errors()[0]
            raise UsageError(
                f"{group} {config.name!r} cannot be made with these options",
                seen=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                fix=f"worldbench show {config.name}",
            ) from error
        if cause is not None:
            raise cause from cause.__cause__  # not of the configuration, but of what it makes
        raise
