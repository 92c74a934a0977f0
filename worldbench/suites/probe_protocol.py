"""What fixes the meaning of a probe's scores, as its records keep it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from worldbench import registry
from worldbench.compose import instantiate
from worldbench.data.source import ClipSource, require_disjoint
from worldbench.errors import UsageError, unknown_name
from worldbench.probes import extraction, families, folds, grid

if TYPE_CHECKING:
    from worldbench.suites.probe import Probe


def protocol(suite: "Probe", data: ClipSource) -> dict[str, Any]:
    """Returns everything that scores depend on but adapter and test clips."""
    from worldbench.suites.probe import training_split

    train, other = training_split(data), transfer_source(suite.transfer)
    if other is not None:
        _require_one_size(data, other)
        require_disjoint(train, other, "suite.transfer")
    return {
        "probes": list(suite.probes),
        "attentive": {
            "depth": suite.depth,
            "epochs": suite.epochs,
            "least_steps": suite.least_steps,
            "batch": suite.batch,
        },
        "grid": {
            "depths": list(grid.DEPTHS),
            "noise": list(grid.NOISE),
            "heads": grid.BUDGET,
            **families.described(),
        },
        "fold": folds.HELD_OUT,
        "few": [list(suite.few_shares), suite.few_splits, list(suite.few_probes)],
        "controls": suite.controls,
        "train": {"digest": train.info.digest, "clips": train.protocol},
        "transfer": None if other is None else [other.info.name, other.info.digest, other.protocol],
        "clips": data.protocol,
        "features": extraction.VERSION,
    }


def _require_one_size(data: ClipSource, other: ClipSource) -> None:
    """Refuses to ask about clips of one size what was fitted at another: it would be another model.

    Raises:
        UsageError: If the sizes differ.
    """
    here, there = (source.protocol.get("size") for source in (data, other))
    if here is not None and there is not None and list(here) != list(there):
        raise UsageError(
            "clips of suite.transfer have another size than those that probes are fitted on",
            seen=f"{other.info.name} at {list(there)}, {data.info.name} at {list(here)}",
            accepted="one size",
            fix=f"suite.transfer='{{name: {other.info.name}, size: {list(here)}}}'",
        )


def transfer_source(named: str | Mapping[str, Any] | None) -> ClipSource | None:
    """Makes the other data that probes are asked about.

    Args:
        named: The name of data, or a mapping with its name and options.

    Raises:
        UsageError: If there is no such data.
    """
    if named is None:
        return None
    options = {"name": named} if isinstance(named, str) else dict(named)
    known = registry.entries("data")
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UsageError(
            "suite.transfer names no data",
            seen=named,
            accepted="a name that `worldbench list data` shows, or a mapping with it and options",
            fix="suite.transfer='{name: kinetics, root: DIR, annotations: FILE}'",
        )
    if name not in known:
        raise unknown_name("data of suite.transfer", name, known, fix="worldbench list data")
    config = OmegaConf.merge(OmegaConf.load(known[name].path), OmegaConf.create(options))
    source: ClipSource = instantiate("data", config)  # type: ignore[arg-type]
    return source
