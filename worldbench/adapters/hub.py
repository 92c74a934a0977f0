"""Where a foreign model's weights lie: a local folder, or a repository of the Hugging Face hub.

A repository is fetched when its model is first asked for, never on import or when an adapter is
made, and only configuration and safetensors of it. ``HF_HUB_OFFLINE=1`` keeps to what was fetched.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from worldbench.errors import EnvironmentFault, UsageError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED = ("config.json", "*.safetensors", "*.safetensors.index.json")
_ACCEPTED = "a local folder, or the id of a hub repository: OWNER/NAME"


def is_hub_id(weights: str) -> bool:
    """Says whether a name can only be a repository's: it has such a form, and no path has it."""
    return _ID.fullmatch(weights) is not None and not Path(weights).exists()


def fetched(name: str, revision: str | None, wanted: Sequence[str] = _WANTED) -> Path:
    """Returns the local folder of a repository, and fetches what of it is not on this machine.

    Args:
        name: OWNER/NAME.
        revision: A commit, tag or branch; None is the main branch.
        wanted: Patterns of the files that are fetched.

    Raises:
        UsageError: If the hub has no such repository or revision, or does not show it.
        EnvironmentFault: If it is not on this machine and the hub cannot be reached, or
            huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    except ImportError as error:
        raise EnvironmentFault(
            "models of the hub need the package huggingface_hub",
            accepted="what comes with transformers",
            fix="pip install 'worldbench-suite[jepa]', or give a local folder",
        ) from error
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(wanted)))
    except (RepositoryNotFoundError, RevisionNotFoundError, ValueError) as error:
        raise UsageError(
            f"neither this folder nor the hub has {name!r}",
            seen=f"{type(error).__name__}, revision {revision or 'main'}",
            accepted=_ACCEPTED,
            fix="correct the name or revision; `hf auth login` for one that is not public",
        ) from error
    except Exception as error:  # the network fails in as many ways as it has clients
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        raise EnvironmentFault(
            f"the model {name!r} is not on this machine, and the hub cannot be reached",
            seen=type(error).__name__ + (", HF_HUB_OFFLINE is set" if offline else ""),
            accepted=_ACCEPTED,
            fix=f"`hf download {name}` where there is a network, then give that folder as weights"
            + ("; or unset HF_HUB_OFFLINE" if offline else ""),
        ) from error
