"""Fixtures of the tests that run the real ComfyUI server; a test module asks for them by ``pytest_plugins``."""

import os
from pathlib import Path

import comfy_server
import pytest
import sample_pictures
import sd15_checkpoint
import templates
from template_parts import FACES
from workflow import Workflow

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = templates.path(templates.FULL)


@pytest.fixture(scope="session")
def start_server(tmp_path_factory):
    """A function that starts a server with the random checkpoint and sample pictures; a context manager."""
    models = sd15_checkpoint.cached(ROOT / ".venv").parent

    def start(*flags):
        folder = tmp_path_factory.mktemp("comfyui")
        example = Path(os.environ["COMFYUI_PATH"], "input", "example.png")
        (folder / "input").mkdir()
        (folder / "input" / example.name).write_bytes(example.read_bytes())
        sample_pictures.write(folder / "input")
        return comfy_server.serve(folder, *flags, model_folders={"checkpoints": models})

    return start


@pytest.fixture(scope="session")
def server(start_server):
    """The one server that most of these tests share."""
    with start_server("--cache-classic") as server:
        yield server


@pytest.fixture(scope="session")
def object_info(server):
    """The server's descriptions of its nodes."""
    return server.get("/object_info")


@pytest.fixture
def example(object_info):
    """The shipped workflow, made small enough for a test."""
    workflow = Workflow.load(EXAMPLE, object_info)
    workflow.set(templates.PHOTO, image="photo.png")
    workflow.set(templates.ARTWORK, image="painting.png")
    workflow.set("StyOIDLTrain", method="cross_attention", steps=2, resolution=64, learning_rate=1e-4, precision="fp32")
    workflow.set(FACES, batch_size=2, size=64, sampling_steps=2)
    workflow.set("Source pass", steps=4)
    return workflow
