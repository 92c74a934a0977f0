"""Clips per second of one process that simulates, and where the time goes.

Run as a script: ``python tests/benchmarks/bench_physics.py [repeats]``. Prints the best of the
repeats, taken in turn so that a busy machine slows all of them alike. The scenes have a fixed wall
and five moving bodies, 16 frames at 8 fps. Notable:

- pairs against broad phase: every contact listed, as worldbench has it, against MuJoCo looking for
  them (``contype``, ``conaffinity``). There all geoms need one ``condim``, so that the listed pairs
  are also timed with 6 throughout: the first ratio is the broad phase's, the second that of the
  smaller ``condim`` of boxes. The broad phase also lacks ``solreffriction``.
- the rest of a clip is Python: reading states out, watching impacts, assembling the track.
"""

import re
import sys
import time
from collections.abc import Callable

import mujoco
import numpy as np

from worldbench.data.worlds.physics.tracks import mjcf, simulate_scene, stepping
from worldbench.data.worlds.scene import Body, Geom, Light, Material, Room, Scene, vec
from worldbench.data.worlds.spec import SceneSpec

PLAIN = Material(vec(0.5, 0.5, 0.5), vec(0.5, 0.5, 0.5), contrast=0.0, frequency=1.0)
ROOM = Room(vec(-4, -4, 0), vec(4, 4, 5), (PLAIN,) * 6)
SPEC = SceneSpec("by_hand", 0, frames=16, fps=8)


def scene(kinds: tuple[str, ...]) -> Scene:
    """Stages a wall, and bodies of these kinds that drop, roll and meet."""
    wall = Body("occluder", (Geom("box", vec(0.8, 0.05, 0.6), PLAIN),), vec(0, 2, 0.6))
    moving = [
        Body(
            "target",
            (Geom(kind, vec(0.2, 0.2, 0.2), PLAIN),),
            vec(0.6 * i - 1.2, 0.05 * i, 0.45 + 0.3 * (i % 3)),
            joint="free",
            velocity=vec(0.8 - 0.4 * i, 0, 0),
            restitution=0.3,
        )
        for i, kind in enumerate(kinds)
    ]
    camera = np.tile(np.eye(4), (SPEC.frames, 1, 1))
    return Scene(ROOM, Light(vec(0, 0, 1), 0.3), (wall, *moving), camera, fov=0.7)


def broad_phase(xml: str) -> str:
    """Lets MuJoCo find the contacts: the first pair's law becomes every geom's."""
    pair = re.search(r'<pair geom1="\S+" geom2="\S+" condim="\d" (.*?)/>', xml)
    assert pair is not None
    law = re.sub(r' solreffriction=".*?"', "", pair[1])
    law = re.sub(r'friction="(\S+) \S+ (\S+) (\S+) \S+"', r'friction="\1 \2 \3"', law)
    found = xml.replace('<geom contype="0" conaffinity="0"/>', f'<geom condim="6" {law}/>')
    return re.sub(r"<contact>.*</contact>", "", found)


def stepped(staged: Scene, xml: str) -> Callable[[], object]:
    """Returns a function that takes a clip's steps in C alone."""
    model, steps = mujoco.MjModel.from_xml_string(xml), stepping.Clock.of(SPEC).steps
    moving = [body for body in staged.bodies if body.joint == "free"]

    def run() -> None:
        data = mujoco.MjData(model)
        data.qvel[:] = np.concatenate([[*body.velocity, 0, 0, 0] for body in moving])
        mujoco.mj_step(model, data, steps)

    return run


def seconds(call: Callable[[], object]) -> float:
    """Returns the wall time of one call."""
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def measure(name: str, staged: Scene, repeats: int) -> None:
    """Prints one scene's lines."""
    group = stepping.compile_group(staged, 0, SPEC)
    xml = mjcf.group_xml(staged, range(len(staged.bodies)), stepping.Clock.of(SPEC).timestep)
    cases: dict[str, Callable[[], object]] = {
        "clip": lambda: simulate_scene(staged, SPEC),
        "compile": lambda: stepping.compile_group(staged, 0, SPEC),
        "step and watch": lambda: stepping.run(staged, group, SPEC),
        "steps alone": stepped(staged, xml),
        "steps alone, condim 6": stepped(staged, re.sub(r'condim="\d"', 'condim="6"', xml)),
        "steps alone, broad phase": stepped(staged, broad_phase(xml)),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(repeats):
        for case, call in cases.items():
            best[case] = min(best[case], seconds(call))
    best["read-out and track"] = best["clip"] - best["compile"] - best["step and watch"]
    print(f"{name}: {1 / best['clip']:.0f} clips/s")
    for case, value in best.items():
        print(f"  {case:<26} {1e3 * value:6.2f} ms   {value / best['clip']:5.2f} of a clip")
    listed = best["steps alone, condim 6"]
    print(f"  listed pairs are x{best['steps alone, broad phase'] / listed:.2f} the broad phase")
    print(f"  condim 3 for boxes is x{listed / best['steps alone']:.2f} condim 6 throughout")


def main(repeats: int = 20) -> None:
    """Prints all scenes."""
    print(f"MuJoCo {mujoco.__version__}")
    measure("five balls", scene(("sphere",) * 5), repeats)
    measure("five boxes", scene(("box",) * 5), repeats)
    measure("mixed", scene(("sphere", "box", "cylinder", "capsule", "sphere")), repeats)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
