"""The pipelines that there are descriptions of, by the class that ``model_index.json`` names."""

from worldbench.adapters.diffusers.cogvideox import CogVideoX
from worldbench.adapters.diffusers.description import Description
from worldbench.adapters.diffusers.folder import PipelineFolder
from worldbench.adapters.diffusers.ltx import LTX
from worldbench.adapters.diffusers.skyreels import SkyReels
from worldbench.adapters.diffusers.svd import StableVideo
from worldbench.adapters.diffusers.vace import WanVACE
from worldbench.adapters.diffusers.wan import WanImage
from worldbench.errors import unknown_name

_ALL: tuple[type[Description], ...] = (StableVideo, WanImage, WanVACE, LTX, SkyReels, CogVideoX)
DESCRIPTIONS = {name: kind for kind in _ALL for name in kind.saved_as}


def description_of(folder: PipelineFolder) -> Description:
    """Returns the description of what a folder holds.

    Raises:
        UsageError: If there is no pipeline, or none that is known here, or one of its components
            cannot be used.
        DataError: If a component is missing or a file does not read.
    """
    if folder.pipeline not in DESCRIPTIONS:
        raise unknown_name(
            "pipeline",
            folder.pipeline,
            DESCRIPTIONS,
            fix=f"a folder whose model_index.json names one of these; this is {folder.path}",
        )
    return DESCRIPTIONS[folder.pipeline](folder)
