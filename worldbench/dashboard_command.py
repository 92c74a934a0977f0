"""``worldbench dashboard``: the options, and where the workspace goes."""

from collections.abc import Sequence
from pathlib import Path

from worldbench.command import command_parser, log_plainly
from worldbench.errors import RecordError, UsageError

_DESCRIPTION = (
    "Build a W&B workspace whose panels are the metrics of records. Without --publish it is shown "
    "as JSON and nothing leaves this machine."
)


def dashboard(arguments: Sequence[str]) -> int:
    """Builds, and shows, writes or publishes.

    Args:
        arguments: Those of the command.

    Returns:
        0.

    Raises:
        WorldbenchError: If there are no records, or W&B is in the way.
    """
    parser = command_parser("dashboard", _DESCRIPTION)
    add = parser.add_argument
    add("--records", type=Path, default=Path("reports/records"), help="whose metrics are shown")
    add("--project", default="worldbench", help="W&B project, as of tracker.project")
    add("--entity", default="", help="W&B user or team; needed to publish")
    add("--out", type=Path, help="write the JSON to a file")
    add("--publish", action="store_true", help="send it to W&B; takes the key of `wandb login`")
    given = parser.parse_args(arguments)
    log_plainly()
    if given.publish and not given.entity:
        raise UsageError(
            "whose workspace is it?",
            accepted="--entity NAME, a user or team of W&B",
            fix="worldbench dashboard --publish --entity NAME",
        )
    from worldbench import dashboard as dashboards
    from worldbench import record as records

    bodies = [record.body for _, record in records.read_all(given.records)]
    if not bodies:
        raise RecordError(
            "no records to take metrics from",
            seen=given.records,
            accepted="a folder written by `worldbench run`",
            fix="worldbench dashboard --records DIR",
        )
    built = dashboards.workspace(bodies, entity=given.entity, project=given.project)
    if given.publish:
        print(dashboards.publish(built))
    elif given.out is not None:
        records.write_atomic(given.out, dashboards.as_json(built).encode())
        print(given.out.resolve())
    else:
        print(dashboards.as_json(built), end="")
    return 0
