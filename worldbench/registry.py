"""The registry is the configuration: one YAML per adapter, suite, data set, tracker or model.

``list`` and ``show`` read the plain header (``name``, ``summary``, ``family``) of each file without
importing torch, Hydra or any model. Third parties ship a folder of YAML files through the
entry-point group ``worldbench.conf``; users without a package pass ``--config-dir``.
"""

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import yaml

from worldbench.errors import UsageError, unknown_name

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "worldbench.conf"
OWN = "worldbench"
"""The origin of what comes with this distribution."""
GROUPS = ("adapter", "suite", "data", "tracker", "model")
_DISTRIBUTION = "worldbench-suite"
FAMILIES = ("baseline", "generative", "predictive", "replay", "oracle")


@dataclass(frozen=True)
class Entry:
    """One configured thing.

    Attributes:
        group: One of :data:`GROUPS`.
        name: What the user types: ``adapter=<name>``.
        summary: One line for ``worldbench list``.
        family: For adapters and models, the school; otherwise empty.
        path: The YAML file.
        origin: The package that ships it.
    """

    group: str
    name: str
    summary: str
    family: str
    path: Path
    origin: str


@dataclass(frozen=True)
class ConfigFolder:
    """A folder of Hydra groups and where it comes from."""

    path: Path
    origin: str
    module: str | None = None


def config_folders(config_dir: str | None = None) -> list[ConfigFolder]:
    """Returns every configuration folder: ours, each installed package's, the user's.

    Raises:
        UsageError: If ``config_dir`` or the module of an entry point does not exist.
    """
    folders = [ConfigFolder(_module_folder("worldbench.conf", _DISTRIBUTION), OWN)]
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: (p.name, p.value)):
        folders.append(_from_entry_point(point))
    if config_dir is not None:
        path = Path(config_dir).resolve()
        if not path.is_dir():
            raise UsageError(
                "no such --config-dir",
                seen=config_dir,
                accepted="a folder with adapter/, suite/, data/ or model/ inside",
                fix="give the folder that holds the groups, not a YAML file",
            )
        folders.append(ConfigFolder(path, str(config_dir)))
    return folders


def _from_entry_point(point: EntryPoint) -> ConfigFolder:
    package = point.dist.name if point.dist is not None else point.name
    # Our reference models are announced as anybody's would be, and are ours all the same.
    origin = OWN if package == _DISTRIBUTION else package
    return ConfigFolder(_module_folder(point.value, package), origin, point.value)


def _module_folder(module: str, origin: str) -> Path:
    # Only the top package's location is looked up: finding a submodule would import its parents,
    # and a model package's __init__ may pull in torch.
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is not None and module == "worldbench.conf":
        # Installed editable, conf/ stands beside the package and not below it.
        spec = importlib.util.find_spec(module)
        rest = []
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        folder = Path(location, *rest)
        if folder.is_dir():
            return folder
    raise UsageError(
        f"package {origin!r} announces configurations in a module that cannot be found",
        seen=module,
        accepted=f"an importable package folder in the entry-point group {ENTRY_POINT_GROUP!r}",
        fix=f"reinstall {origin}, or correct its entry point",
    )


def entries(group: str, config_dir: str | None = None) -> dict[str, Entry]:
    """Reads the headers of one group from every configuration folder.

    Args:
        group: One of :data:`GROUPS`.
        config_dir: An extra folder of the user's.

    Returns:
        Entries by name, in name order.

    Raises:
        UsageError: If a header of ours or of the user's is incomplete, or two files claim one name.
    """
    found: dict[str, Entry] = {}
    for folder in config_folders(config_dir):
        for path in sorted((folder.path / group).glob("*.yaml")):
            try:
                entry = _read_header(group, path, folder.origin)
            except UsageError as error:
                if folder.module is None or folder.origin == OWN:
                    raise
                # Somebody else's broken file must not stop runs that never asked for it.
                logger.warning("ignored, of package %s: %s", folder.origin, error.one_line)
                continue
            if entry.name in found:
                raise UsageError(
                    f"two {group}s are called {entry.name!r}",
                    seen=f"{found[entry.name].path} ({found[entry.name].origin}) and "
                    f"{path} ({folder.origin})",
                    accepted="one configuration file per name",
                    fix="rename one of the files and the `name:` in its header",
                )
            found[entry.name] = entry
    return dict(sorted(found.items()))


def _read_header(group: str, path: Path, origin: str) -> Entry:
    header = load_yaml(path)
    name = header.get("name")
    if name != path.stem or not isinstance(header.get("summary"), str):
        raise UsageError(
            f"configuration {path} has no proper header",
            seen=f"name: {name!r}, summary: {header.get('summary')!r}",
            accepted=f"`name: {path.stem}` (the file's name) and a one-line `summary:`",
            fix="add the two lines at the top of the file",
        )
    family = str(header.get("family", ""))
    if group in ("adapter", "model") and family not in FAMILIES:
        raise UsageError(
            f"configuration {path} names no family that exists",
            seen=f"family: {family!r}",
            accepted=", ".join(FAMILIES),
            fix="correct the `family:` line of its header",
        )
    return Entry(group, path.stem, header["summary"], family, path, origin)


def load_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping.

    Raises:
        UsageError: If the file is not valid YAML or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            f"cannot read configuration {path}", seen=error, fix="correct the file"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(
            f"configuration {path} is not a mapping",
            accepted="`key: value` lines",
            fix="correct it",
        )
    return content


def require(group: str, names: Sequence[str], config_dir: str | None = None) -> list[Entry]:
    """Looks names up.

    Raises:
        UsageError: For the first unknown name, with the nearest match and the alternatives.
    """
    known = entries(group, config_dir)
    for name in names:
        if name not in known:
            raise unknown_name(
                group, name, known, fix=f"worldbench list {group}s; your own need --config-dir DIR"
            )
    return [known[name] for name in names]
