"""IntPhys and IntPhys 2 in miniature: the layouts of the releases, with tiny pictures.

Every movie is a list of numbers, and frame n of a quadruplet is one random picture wherever the
number n stands in its movies. So impossible movies are made of the frames of the possible ones,
exactly as in IntPhys.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from worldbench.data.video import encode

FRAMES = 33
SIDE = 24


def numbers(frames: int = FRAMES, splice: int = 17) -> dict[str, list[int]]:
    """Movies A, P, and the impossible ones that begin like A and like P, by what they are."""
    a, p = list(range(frames)), [1000 + i for i in range(frames)]
    return {"P1": a, "P2": p, "I1": a[:splice] + p[splice:], "I2": p[:splice] + a[splice:]}


def picture(number: int, scene: int = 0, side: int = SIDE) -> np.ndarray:
    """The picture of a number, ``h w 3``."""
    rng = np.random.default_rng([scene, number])
    return rng.integers(0, 256, (side, side, 3), dtype=np.uint8)


def write_movie(
    folder: Path, frames: Sequence[int], possible: bool, *, scene: int = 0, level: int = 3
) -> None:
    """Writes one movie of IntPhys; frames are numbered from 1."""
    (folder / "scene").mkdir(parents=True)
    for index, number in enumerate(frames, start=1):
        path = str(folder / "scene" / f"scene_{index:03d}.png")
        cv2.imwrite(path, picture(number, scene), [cv2.IMWRITE_PNG_COMPRESSION, level])
    status = {"header": {"is_possible": possible}}
    (folder / "status.json").write_text(json.dumps(status))


def write_scene(
    folder: Path,
    *,
    scene: int = 0,
    order: Sequence[str] = ("P1", "P2", "I1", "I2"),
    movies: dict[str, list[int]] | None = None,
) -> Path:
    """Writes four movies, called 1 to 4 in the order given."""
    movies = numbers() if movies is None else movies
    for name, kind in enumerate(order, start=1):
        # As if each had been saved by another run: equal pixels, other bytes.
        write_movie(folder / str(name), movies[kind], kind[0] == "P", scene=scene, level=name)
    return folder


def write_intphys(root: Path, scenes: int = 2, blocks: Sequence[str] = ("O1", "O2", "O3")) -> Path:
    """Writes a dev set, the movies of each scene in another order."""
    orders = (("I2", "P1", "I1", "P2"), ("P2", "I2", "P1", "I1"), ("I1", "I2", "P2", "P1"))
    for at, block in enumerate(blocks):
        for scene in range(scenes):
            order = orders[(at + scene) % len(orders)]
            write_scene(root / block / f"{scene + 1:02d}", scene=10 * at + scene, order=order)
    return root


Line = dict[str, str]


def write_intphys2(
    root: Path,
    *,
    split: str = "Main",
    conditions: Sequence[str] = ("permanence",) * 2,
    frames: int = 33,
    lines: Sequence[Line] | None = None,
) -> Path:
    """Writes a split: one scene of four videos per condition, with names that tell nothing."""
    base = root / split
    (base / "Videos").mkdir(parents=True)
    rows: list[Line] = []
    for scene, condition in enumerate(conditions):
        for k, (kind, movie) in enumerate(numbers(frames).items()):
            name = f"{(7 * scene + 3 * k + 5) % 97:02x}{scene}{k}"
            video = np.stack([np.full((32, 32, 3), n % 251, np.uint8) for n in movie])
            encode(base / "Videos" / f"{name}.mp4", video, 30)
            rows.append(
                {
                    "SceneIndex": str(scene),
                    "name": name,
                    "file_name": f"Videos/{name}.mp4",
                    "condition": condition,
                    "type": f"{kind[1]}_{'Possible' if kind[0] == 'P' else 'Impossible'}",
                    "Difficulty": "Easy",
                    "Camera": "Fixed" if scene else "Moving",
                }
            )
    write_listing(base, rows if lines is None else lines)
    return root


def write_listing(base: Path, rows: Sequence[Line]) -> None:
    """Writes the metadata.csv of a split."""
    with (base / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_listing(base: Path) -> list[Line]:
    """Reads it back."""
    with (base / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))
