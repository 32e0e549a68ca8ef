"""Makes ComfyUI and the pack importable."""

import copy
import gc
import os
import sys
from pathlib import Path

import pack
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
LONGEST = (
    "test_browser.py",
    "test_server.py",
    "test_demo_stylization.py",
    "test_attention_exactness.py",
    "test_gpu_programme.py",
    "test_packaging.py",
    "test_demo_world.py",
)
"""The files that take most time."""


def pytest_collection_modifyitems(items):
    """Begin with the longest files: processes that each take the next file then end at about the same time."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish():
    """What is imported by now stays: garbage collections, one at least in every training, need not look at it."""
    gc.freeze()


def _put_comfyui_on_the_path():
    # `python -m pytest` puts the repository root first, where `nodes` would hide ComfyUI's module of that name.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options  # noqa: F401  (argument parsing stays off: pytest's arguments are not ComfyUI's)
    from comfy.cli_args import args

    args.cpu = True


if "COMFYUI_PATH" not in os.environ:
    pytest.exit("COMFYUI_PATH is not set: run the tests with `python scripts/test.py`.", returncode=2)
# The models of the tests are so small that sharing their work among threads takes longer than doing it.
torch.set_num_threads(1)
_put_comfyui_on_the_path()
pack.import_pack()


@pytest.fixture
def inference_mode():
    """What ComfyUI runs every node in."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def graph():
    """A tiny model with encoded prompts, shared by the tests of a module."""
    from passes import Graph

    with torch.inference_mode():
        return Graph()


@pytest.fixture
def output(tmp_path, monkeypatch):
    """An output folder of the test's own, with ``loras`` among the LoRA folders, as ComfyUI's main.py does."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    paths = copy.deepcopy(folder_paths.folder_names_and_paths["loras"])
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path / "loras")], paths[1]))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path
