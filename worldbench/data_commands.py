"""``worldbench data``: what there is, making it, looking at it, taking it elsewhere."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from worldbench.command import command_parser, log_plainly
from worldbench.errors import unknown_name

ACTIONS = {
    "list": "sets and families of the procedural worlds, and what is made of them here",
    "build": "render a set into the cache now: worldbench data build NAME",
    "preview": "contact sheet and clip wall of a set or family: worldbench data preview NAME",
    "export": "write a labelled set as Kinetics, Something-Something v2 or ImageNet lie on disk",
    "features": "list the cached features of probes and their sizes; --evict NAME deletes some",
    "contexts": "export a suite's contexts for closed systems: … contexts data=… --out DIR",
}


def data(arguments: Sequence[str]) -> int:
    """Runs one action.

    Args:
        arguments: The action and its arguments.

    Returns:
        The exit code.

    Raises:
        WorldbenchError: If a name does not exist, or data or machine cannot be used.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        lines = ["usage: worldbench data ACTION [arguments]", ""]
        lines += [f"  {name:<10} {text}" for name, text in ACTIONS.items()]
        print("\n".join([*lines, "", "worldbench data ACTION --help shows an action's options"]))
        return 0 if arguments else 2
    actions: dict[str, Callable[[Sequence[str]], int]] = {
        "list": _list,
        "build": _build,
        "preview": _preview,
        "export": _export,
        "features": _features,
        "contexts": _contexts,
    }
    action, rest = arguments[0], arguments[1:]
    if action not in actions:
        raise unknown_name("action of data", action, actions, fix="worldbench data --help")
    return actions[action](rest)


def _list(arguments: Sequence[str]) -> int:
    _parser("list").parse_args(arguments)
    from worldbench.data.worlds.storage.inventory import families, inventory

    print("sets (worldbench data build NAME; preview NAME)")
    for item in inventory():
        counts = f"{item.clips} clips" if item.clips is not None else "not made yet"
        counts += f", {item.quads} quads" if item.quads else ""
        states = [word for word in ("shipped", "built") if getattr(item, word)]
        print(f"  {item.name:<26} {item.summary}")
        print(f"  {'':<26} {', '.join([counts, *states])}")
    print("families (worldbench data preview NAME)")
    for name, summary in families().items():
        print(f"  {name:<26} {summary}")
    return 0


def _build(arguments: Sequence[str]) -> int:
    options = _parser("build")
    options.add_argument("name", metavar="NAME", help="a set; worldbench data list")
    _rendering(options)
    given = options.parse_args(arguments)
    log_plainly()
    from worldbench.data.worlds.storage.build import build

    built = build(given.name, workers=given.workers, size=given.size)
    content = built.content
    print(f"{len(content.clips)} clips, {len(content.quads)} quads in {built.folder}")
    print(f"digest {content.digest}")
    for kind, drawn in sorted(content.drawn.items()):
        refused = {why: n for why, n in content.rejected.items() if why.startswith(f"{kind}: ")}
        told = ", ".join(f"{n} × {why.partition(': ')[2]}" for why, n in sorted(refused.items()))
        print(f"  {kind}: {drawn} scenes drawn" + (f", refused {told}" if told else ""))
    return 0


def _preview(arguments: Sequence[str]) -> int:
    options = _parser("preview")
    options.add_argument("name", metavar="NAME", help="a set or family; worldbench data list")
    options.add_argument("--out", type=Path, default=Path("previews"), help="folder for both files")
    options.add_argument("--clips", type=_positive, default=8, help="how many clips to show")
    given = options.parse_args(arguments)
    log_plainly()
    from worldbench.data.worlds.show.preview import preview

    print("\n".join(map(str, preview(given.name, given.out, clips=given.clips))))
    return 0


def _export(arguments: Sequence[str]) -> int:
    options = _parser("export")
    options.add_argument("name", metavar="NAME", help="a labelled set; worldbench data list")
    options.add_argument("out", metavar="DIR", type=Path, help="a new folder, or one to resume")
    options.add_argument("--layout", required=True, help="kinetics, ssv2 or imagenet")
    options.add_argument(
        "--frames-per-clip", type=_positive, default=1, help="pictures per clip, imagenet only"
    )
    _rendering(options)
    given = options.parse_args(arguments)
    log_plainly()
    from worldbench.data.worlds.show.export import export

    done = export(
        given.name,
        given.layout,
        given.out,
        frames_per_clip=given.frames_per_clip,
        size=given.size,
        workers=given.workers,
    )
    print(f"{done.written} files written, {done.kept} kept in {done.out}")
    return 0


def _features(arguments: Sequence[str]) -> int:
    options = _parser("features")
    options.add_argument(
        "--evict", nargs="+", default=[], metavar="NAME", help="beginnings of names; or all"
    )
    given = options.parse_args(arguments)
    from worldbench.probes.store import evict, inventory, told_size

    stored = evict(given.evict) if given.evict else inventory()
    if given.evict and not stored and given.evict != ["all"]:
        names = [each.name for each in inventory()]
        raise unknown_name("set of features", given.evict[0], names, fix="worldbench data features")
    for each in stored:
        about = " ".join(str(value) for value in each.about.values())
        print(f"{each.name}  {told_size(each.size):>10}  {about}")
    done = "deleted" if given.evict else "cached"
    print(f"{len(stored)} sets of features {done}, {told_size(sum(s.size for s in stored))}")
    return 0


def _contexts(arguments: Sequence[str]) -> int:
    options = _parser("contexts")
    options.add_argument("overrides", nargs="*", metavar="data=NAME", help="data and suite options")
    options.add_argument("--out", required=True, type=Path, help="folder for the clips")
    options.add_argument("--config-dir", help="a folder with your own configurations")
    given = options.parse_intermixed_args(arguments)
    log_plainly()
    from worldbench.contexts import export_contexts

    count = export_contexts(given.overrides, given.out, given.config_dir)
    print(f"{count} contexts and items.jsonl in {given.out}")
    return 0


def _parser(action: str) -> argparse.ArgumentParser:
    return command_parser(f"data {action}", ACTIONS[action])


def _rendering(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--size", type=_positive, help="pixels of a side; the set's own if left out"
    )
    options.add_argument("--workers", type=_positive, help="processes; one per core if left out")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)
