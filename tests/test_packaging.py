"""The archive that the registry's own tool makes of the pack: what is in it, and that a ComfyUI runs it."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote

import comfy_server
import environment
import pytest
import templates
from PIL import Image
from template_parts import BLUEPRINT
from workflow import Workflow

TOOL = ["-m", "uv", "tool", "run", "--from", "comfy-cli==1.23.0", "comfy", "--skip-prompt", "--no-enable-telemetry"]
"""The registry's command line, in an environment of its own: its requirements are not ComfyUI's."""

SHIPPED = {
    *("LICENSE", "README.md", "CHANGELOG.md", "__init__.py", "pyproject.toml"),
    *("bridge", "demo", "docs", "example_workflows", "locales"),
    *("nodes", "styo_attention", "subgraphs", "training", "web"),
}
MOST_BYTES = 14_000_000
"""Nearly all of it is the demo's model."""


def registry_tool(folder: Path, *arguments: str) -> str:
    """What the tool prints in a folder; skips where no package index can be reached."""
    command = [sys.executable, *TOOL, *arguments]
    variables = {**environment.uv_settings(), "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if "Failed to fetch" in done.stderr and not os.environ.get("CI"):
        pytest.skip("no package index to take comfy-cli from")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository of its own with every file that would be committed."""
    if not (shutil.which("git") and (environment.ROOT / ".git").exists()):
        assert not os.environ.get("CI"), "CI needs git, and a checkout"
        pytest.skip("no git, or no checkout")
    folder = tmp_path_factory.mktemp("repository")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=environment.ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (environment.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(environment.ROOT / name, folder / name)
    for arguments in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def archive(repository):
    """The packed pack."""
    registry_tool(repository, "node", "pack")
    return repository / "node.zip"


def test_the_registry_has_nothing_to_say_against_the_pack(repository):
    said = registry_tool(repository, "node", "validate")
    assert "All validation checks passed" in said
    assert "Security" not in said and "Error" not in said, said


def test_the_archive_holds_what_a_user_needs_and_no_more(archive):
    assert archive.stat().st_size < MOST_BYTES
    names = zipfile.ZipFile(archive).namelist()
    assert {name.partition("/")[0] for name in names} == SHIPPED
    assert not [name for name in names if "pretraining" in name or name.endswith((".pyc", ".tmp"))]


def test_the_archive_runs_in_a_comfyui(archive, tmp_path):
    """Every node, help page, template and blueprint is there, and the demo's template runs."""
    pack, folder = tmp_path / "unpacked", tmp_path / "comfyui"
    zipfile.ZipFile(archive).extractall(pack)
    with comfy_server.serve(folder, pack=pack) as server:
        info = server.get("/object_info")
        ours = [node for node, about in info.items() if about["python_module"] == "custom_nodes.styo"]
        assert len(ours) == len(list((pack / "web/docs").glob("*.md")))
        assert set(server.get("/workflow_templates")["styo"]) == set(templates.templates(info))
        assert BLUEPRINT in [entry["name"] for entry in server.get("/global_subgraphs").values()]
        demo = server.get(f"/api/workflow_templates/styo/{quote(templates.DEMO)}.json")
        workflow = Workflow(demo, info)
        workflow.set("StyODemoPortraits", auxiliary_count=1)
        workflow.set(BLUEPRINT, training_steps=2, sampling_steps=1)
        run = server.run(workflow.prompt())
        assert server.pictures(run, workflow.id(templates.RESULT))


def test_the_pictures_of_the_registry_have_the_shape_it_asks_for():
    project = (environment.ROOT / "pyproject.toml").read_text("utf-8")
    for name, shape in (("Icon", 1), ("Banner", 21 / 9)):
        path = re.search(rf'^{name} = "https://raw.+?/main/(.+)"$', project, re.M)[1]
        with Image.open(environment.ROOT / path) as picture:
            assert picture.width / picture.height == pytest.approx(shape, rel=0.01)
            assert name != "Icon" or picture.width <= 400
