"""What a record from others would run here, before anything of it runs."""

from typing import Any

from worldbench import registry


def foreign_targets(config: object) -> list[str]:
    """Lists what a record's configuration would run that is no class of ours or of a plugin's.

    Plugins are the installed packages of the entry-point group ``worldbench.conf``. Interpolations
    count as foreign: records are written resolved, and one could build what is then run.
    """
    plugins = {folder.module.split(".")[0] for folder in registry.config_folders() if folder.module}
    return _foreign(config, frozenset(("worldbench", "worldbench_models")) | plugins)


def _foreign(value: object, packages: frozenset[str]) -> list[str]:
    if isinstance(value, dict):
        found = [repr(key) for key in value if "${" in str(key)]
        if "_target_" in value and not _is_class_of(value["_target_"], packages):
            found.append(repr(value["_target_"]))
        return found + [each for part in value.values() for each in _foreign(part, packages)]
    if isinstance(value, list | tuple):
        return [each for part in value for each in _foreign(part, packages)]
    return [repr(value)] if isinstance(value, str) and "${" in value else []


def _is_class_of(target: Any, packages: frozenset[str]) -> bool:
    """Says whether a dotted name is a class that one of the packages defines.

    ``worldbench.record.os.system`` begins as one of ours does, hence the look at the object.
    """
    from hydra.utils import get_object

    if not isinstance(target, str) or target.split(".")[0] not in packages:
        return False
    try:
        found = get_object(target)
    except Exception:  # an import may raise anything
        # A model's extra may not be installed here: then nothing of it can run either.
        return True
    return isinstance(found, type) and found.__module__.split(".")[0] in packages
