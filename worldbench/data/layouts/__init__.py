"""How datasets lie on disk: each reader lists the videos of one layout below a local root.

Every reader is ``reader(..., root, ...) -> tuple[Video, ...]``, sorted by path, and opens no video.
Files that a listing names but the folder lacks are listed all the same:
:func:`worldbench.data.manifest.scan` reports them as excluded, with the reason.
"""

from worldbench.data.layouts.class_folders import class_folders
from worldbench.data.layouts.folder import folder
from worldbench.data.layouts.kinetics import kinetics
from worldbench.data.layouts.path_label import path_label
from worldbench.data.layouts.ssv2 import ssv2
from worldbench.data.layouts.ucf101 import hmdb51, ucf101

__all__ = ["class_folders", "folder", "hmdb51", "kinetics", "path_label", "ssv2", "ucf101"]
