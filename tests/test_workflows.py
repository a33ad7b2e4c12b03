"""The workflows: pinned actions, no write permission, existing make targets."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
KEYS = {"name", "on", "concurrency", "permissions", "jobs", "env", "defaults"}


def read(path):
    # YAML 1.1 reads the key `on` as true; a loader without that reads what GitHub reads.
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_is_whole_and_may_only_read(path):
    workflow = read(path)
    assert set(workflow) <= KEYS
    assert {"name", "on", "permissions", "jobs"} <= set(workflow)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["runs-on"] == "ubuntu-latest"
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_to_commits(path):
    used = re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_there(path):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for job in read(path)["jobs"].values():
        for words in (step["run"].split() for step in job["steps"] if "run" in step):
            assert words[0] == "make" or (ROOT / words[0]).is_file(), words
            if words[0] == "make":
                assert set(words[1:]) <= set(targets)


def test_weaknesses_are_looked_for_on_a_schedule():
    audit = read(ROOT / ".github" / "workflows" / "audit.yml")
    (entry,) = audit["on"]["schedule"]
    assert len(entry["cron"].split()) == 5
    assert audit["jobs"]["audit"]["steps"][-1]["run"] == "make audit"
