"""The Hydra job under way: the sweep it belongs to, and what its failure leaves in the log."""

import logging
import traceback

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from worldbench.errors import WorldbenchError
from worldbench.redaction import redact_error, redact_text

logger = logging.getLogger(__name__)


def in_sweep() -> bool:
    """Tells whether the job is one of several (``-m``)."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def sweep_name() -> str:
    """Names the sweep a job belongs to, the same for all its jobs; ``single`` outside a sweep."""
    return str(HydraConfig.get().sweep.dir) if in_sweep() else "single"


def log_failure(error: Exception) -> None:
    """Logs what the user would not be told otherwise.

    That is the traceback of an error nobody expected and, in a sweep, the message of any error:
    at the end Hydra raises the first one only.
    """
    if not isinstance(error, WorldbenchError):
        logger.error("%s", redact_text("".join(traceback.format_exception(error))))
    elif in_sweep():
        logger.error("failed: %s", redact_error(error))
