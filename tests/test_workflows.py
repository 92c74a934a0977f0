"""What the workflows of this repository may do, read from their YAML."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
READ = {"contents": "read"}


def read(name: str) -> dict[str, Any]:
    content = yaml.safe_load((FOLDER / name).read_text())
    content["on"] = content.pop(True)  # YAML 1.1 takes the word for a boolean
    return content


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def step_using(name: str, action: str) -> list[dict[str, Any]]:
    return [s["with"] for s in steps(read(name)) if s.get("uses", "").startswith(f"{action}@")]


def test_there_are_the_workflows_that_these_tests_are_about() -> None:
    assert {path.name for path in FILES} >= {"ci.yml", "records.yml", "score-comment.yml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_workflow_says_what_it_may_do(path: Path) -> None:
    workflow = read(path.name)
    assert "pull_request_target" not in workflow["on"], "it would run foreign code with our rights"
    if "pull_request" in workflow["on"]:
        assert workflow["permissions"] == READ
        assert all("permissions" not in job for job in workflow["jobs"].values())
        assert "secrets." not in path.read_text()
        assert "github.token" not in path.read_text()
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_foreign_text_is_pasted_into_a_script(path: Path) -> None:
    for step in steps(read(path.name)):
        script = step.get("run", "") + step.get("with", {}).get("script", "")
        assert "${{" not in script, "names of branches and titles are anybody's"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_checkout_leaves_no_token_behind(path: Path) -> None:
    for options in step_using(path.name, "actions/checkout"):
        assert options["persist-credentials"] is False


def test_comments_are_made_by_the_main_branch_of_data_alone() -> None:
    workflow = read("score-comment.yml")
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"actions": "read", **READ, "pull-requests": "write"}
    (checkout,) = step_using("score-comment.yml", "actions/checkout")
    assert checkout["ref"] == "${{ github.event.repository.default_branch }}"
    commands = [step["run"].splitlines() for step in steps(workflow) if "run" in step]
    assert commands == [
        [
            'test "$(stat -c %s artifact/diff.json)" -le 5000000',
            'python3 worldbench/score_comment.py artifact/diff.json "$HEAD_SHA" > comment.md',
        ]
    ], "nothing of the artifact may be run"
    used = [step["uses"].split("@")[0] for step in steps(workflow) if "uses" in step]
    assert used == [f"actions/{n}" for n in ("checkout", "download-artifact", "github-script")]
    (script,) = (
        step["with"]["script"] for step in steps(workflow) if "script" in step.get("with", {})
    )
    for word in ("artifact", "exec", "spawn", "eval", "import", "Function"):
        assert word not in script
    assert script.count("require(") == script.count('require("fs").readFileSync("comment.md"') == 1


def test_a_comment_names_the_commit_of_the_event_and_not_of_the_artifact() -> None:
    (env,) = (step["env"] for step in steps(read("score-comment.yml")) if "env" in step)
    assert env == {"HEAD_SHA": "${{ github.event.workflow_run.head_sha }}"}


def test_without_an_artifact_there_is_no_comment_and_no_failure() -> None:
    _, download, *later = steps(read("score-comment.yml"))
    assert download["continue-on-error"] is True
    assert len(later) == 2
    for step in later:
        assert step["if"] == f"steps.{download['id']}.outcome == 'success'"


def test_records_are_validated_before_anything_else_reads_them() -> None:
    run = [step for step in steps(read("records.yml")) if "worldbench" in step.get("run", "")]
    assert ["validate" in step["run"] for step in run] == [True, False]
    assert "if" not in run[0]
    assert run[1]["if"] == "always()", "what changes is told even of records that do not hold"


def test_the_comment_waits_for_the_workflow_that_makes_its_artifact() -> None:
    made, taken = read("records.yml"), read("score-comment.yml")
    assert taken["on"]["workflow_run"]["workflows"] == [made["name"]]
    (up,), (down,) = (
        step_using("records.yml", "actions/upload-artifact"),
        step_using("score-comment.yml", "actions/download-artifact"),
    )
    assert up["name"] == down["name"]
    assert Path(up["path"]).name == "diff.json"
    assert down["run-id"] == "${{ github.event.workflow_run.id }}"


def test_contributed_records_are_validated_against_the_branch_that_they_are_for() -> None:
    lines = " ".join(step.get("run", "") for step in steps(read("records.yml")))
    assert "worldbench validate reports/records --baseline base/reports/records" in lines
    assert "--verify" in lines
    base = [c for c in step_using("records.yml", "actions/checkout") if c.get("path") == "base"]
    assert [c["ref"] for c in base] == ["${{ github.event.pull_request.base.sha }}"]
