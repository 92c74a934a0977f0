"""A checkpoint's folder of media, as the command that rolls models out leaves it."""

import json
from pathlib import Path

import numpy as np

from worldbench.data.video import encode
from worldbench.leaderboard.site.addresses import checkpoint
from worldbench.schema import AdapterCard
from worldbench.suites.show.rollouts_clip import poster

PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><path d="M0 0h9v9z"/></svg>'
)


def add_media(media: Path, card: AdapterCard, said: str = "a clip") -> Path:
    """Writes a clip, its still and a picture, and a list that also names a clip that is missing."""
    folder = media / checkpoint(card.name, card.revision)
    folder.mkdir(parents=True)
    video = np.random.default_rng(0).integers(0, 255, (12, 64, 96, 3), np.uint8)
    encode(folder / "clip.mp4", video, 8)
    (folder / "clip.jpg").write_bytes(poster(video[3]))
    (folder / "picture.svg").write_text(PICTURE)
    clip = {"video": "clip.mp4", "poster": "clip.jpg", "title": said, "caption": said}
    clip |= {"alternative": said, "width": 96, "height": 64}
    picture = {"file": "picture.svg", "title": said, "alternative": said}
    told = {"clips": [clip, clip | {"video": "gone.mp4"}], "pictures": [picture]}
    (folder / "media.json").write_text(json.dumps(told))
    return folder
