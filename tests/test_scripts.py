"""The scripts around the pack: workflows as the server runs them, the ComfyUI archive, pip's settings for uv."""

import argparse
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import comfyui_source
import demo_run
import environment
import pytest
import sd15_checkpoint
import torch
from demo_jobs import DemoModelJob
from workflow import ACTIVE, BYPASSED, MUTED, Workflow

INFO = {
    "Load": {"input": {"required": {"name": [["a", "b"], {}]}}},
    "Sampler": {
        "input": {
            "required": {"model": ["MODEL", {}], "seed": ["INT", {}], "steps": ["INT", {}]},
            "optional": {"rate": ["FLOAT", {"forceInput": True}], "kind": ["COMBO", {"options": ["x", "y"]}]},
        }
    },
    "Train": {"input": {"required": {"seed": ["INT", {"control_after_generate": False}], "steps": ["INT", {}]}}},
    "Patch": {"input": {"required": {"model": ["MODEL", {}], "strength": ["FLOAT", {}]}}},
}


def graph(nodes, links=()):
    return {"nodes": [{"id": number, **node} for number, node in enumerate(nodes, 1)], "links": list(links)}


def linked(name, link, kind="MODEL"):
    return {"name": name, "type": kind, "link": link}


def loader():
    return {"type": "Load", "outputs": [{"type": "MODEL"}], "widgets_values": ["b"]}


def sampler(link):
    return {"type": "Sampler", "inputs": [linked("model", link)], "widgets_values": [7, "randomize", 20, "y"]}


def test_control_values_between_widgets_are_skipped():
    prompt = Workflow(graph([loader(), sampler(1)], [[1, 1, 0, 2, 0, "MODEL"]]), INFO).prompt()
    assert prompt == {
        "1": {"class_type": "Load", "inputs": {"name": "b"}},
        "2": {"class_type": "Sampler", "inputs": {"model": ["1", 0], "seed": 7, "steps": 20, "kind": "y"}},
    }


def test_a_seed_that_declines_its_control_has_none():
    prompt = Workflow(graph([{"type": "Train", "widgets_values": [7, 400]}]), INFO).prompt()
    assert prompt["1"]["inputs"] == {"seed": 7, "steps": 400}


@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        ({"type": "Patch", "mode": ACTIVE, "widgets_values": [1.0]}, ["2", 0]),
        ({"type": "Patch", "mode": BYPASSED, "widgets_values": [1.0]}, ["1", 0]),
        ({"type": "Patch", "mode": MUTED, "widgets_values": [1.0]}, None),
        ({"type": "Reroute"}, ["1", 0]),
    ],
)
def test_links_lead_past_what_does_not_run(middle, expected):
    middle |= {"inputs": [linked("model", 1)], "outputs": [{"type": "MODEL"}]}
    links = [[1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "MODEL"]]
    prompt = Workflow(graph([loader(), middle, sampler(2)], links), INFO).prompt()
    assert prompt["3"]["inputs"].get("model") == expected
    assert ("2" in prompt) == (expected == ["2", 0])


def test_a_primitive_gives_its_value_and_a_note_nothing():
    node = {"type": "Train", "inputs": [linked("steps", 1, "INT")], "widgets_values": [7, 400]}
    nodes = [{"type": "PrimitiveNode", "widgets_values": [3, "fixed"]}, node, {"type": "Note", "widgets_values": ["!"]}]
    prompt = Workflow(graph(nodes, [[1, 1, 0, 2, 0, "INT"]]), INFO).prompt()
    assert prompt == {"2": {"class_type": "Train", "inputs": {"seed": 7, "steps": 3}}}


def test_setting_a_widget_changes_only_the_copy_and_switches_the_node_on():
    original = graph([{"type": "Train", "title": "T", "mode": BYPASSED, "widgets_values": [7, 400]}])
    before = json.dumps(original)
    workflow = Workflow(original, INFO)
    workflow.set("T", steps=5)
    assert workflow.value("T", "steps") == 5
    assert workflow.prompt()["1"]["inputs"] == {"seed": 7, "steps": 5}
    assert json.dumps(original) == before


def subgraphed(value=30):
    """Load -> a subgraph of one sampler, whose steps are a widget outside -> Patch."""
    widget = {"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 12}
    inner = {"id": 7, "title": "inner", **sampler(11), "outputs": [{"type": "MODEL"}]}
    inner["inputs"].append(widget)
    links = [(11, -10, 0, 7, 0), (12, -10, 1, 7, 1), (13, 7, 0, -20, 0)]
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    definition = {
        "id": "the-subgraph",
        "nodes": [inner],
        "links": [dict(zip(names, link, strict=True)) for link in links],
        "outputs": [{"linkIds": [13]}],
    }
    host = {"type": "the-subgraph", "title": "outer", "outputs": [{"type": "MODEL"}], "widgets_values": [value]}
    host["inputs"] = [linked("model", 1), {**linked("steps", None, "INT"), "widget": {"name": "steps"}}]
    patch = {"type": "Patch", "inputs": [linked("model", 2)], "widgets_values": [1.0]}
    nodes = graph([loader(), host, patch], [[1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "MODEL"]])
    return {**nodes, "definitions": {"subgraphs": [definition]}}


def test_a_subgraph_is_run_as_what_is_inside_of_it():
    prompt = Workflow(subgraphed(), INFO).prompt()
    assert prompt["2:7"] == {
        "class_type": "Sampler",
        "inputs": {"model": ["1", 0], "seed": 7, "steps": 30, "kind": "y"},
    }
    assert prompt["3"]["inputs"]["model"] == ["2:7", 0]
    assert set(prompt) == {"1", "2:7", "3"}


@pytest.mark.parametrize("title", ["inner", "outer"])
def test_a_subgraphs_widget_is_set_from_inside_and_from_outside(title):
    workflow = Workflow(subgraphed(), INFO)
    workflow.set(title, steps=5)
    assert workflow.value("outer", "steps") == workflow.value("inner", "steps") == 5
    assert workflow.prompt()["2:7"]["inputs"]["steps"] == 5
    assert workflow.titles() == {"1": "Load", "2": "outer", "2:7": "inner", "3": "Patch"}


@pytest.mark.parametrize(("mode", "model"), [(MUTED, None), (BYPASSED, ["1", 0])])
def test_a_subgraph_that_is_switched_off_runs_nothing_inside(mode, model):
    graph = subgraphed()
    graph["nodes"][1]["mode"] = mode
    prompt = Workflow(graph, INFO).prompt()
    assert set(prompt) == {"1", "3"}
    assert prompt["3"]["inputs"].get("model") == model


def test_an_unknown_node_is_named():
    with pytest.raises(ValueError, match="Mystery"):
        Workflow(graph([{"type": "Mystery"}]), INFO).prompt()


def test_a_comfyui_that_does_not_start_is_told_with_its_log(monkeypatch, tmp_path):
    (tmp_path / "main.py").write_text("raise SystemExit('no such device')", "utf-8")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"ComfyUI did not start\.\nno such device"):
        demo_run.run(DemoModelJob(argparse.Namespace()), tmp_path / "pictures")


def test_an_error_that_is_not_comfyuis_is_not_hidden(monkeypatch, tmp_path):
    def failing(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(demo_run.comfy_server, "serve", failing)
    with pytest.raises(RuntimeError, match="a bug"):
        demo_run.run(DemoModelJob(argparse.Namespace()), tmp_path)


def test_only_regular_files_of_the_tree_leave_the_archive(tmp_path, monkeypatch):
    tree = str(comfyui_source.TREE)
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("main.py", "comfy/ops.py", "../../../escaped.py", "../beside.py"):
            member = tarfile.TarInfo(f"{tree}/{name}")
            member.size = 2
            tar.addfile(member, io.BytesIO(b"ok"))
        link = tarfile.TarInfo(f"{tree}/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    monkeypatch.setattr(comfyui_source, "ARCHIVE_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    comfyui_source.extract(archive, tmp_path / "out" / "tree")
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir())
    assert written == ["archive.tar.gz", "out/tree/comfy/ops.py", "out/tree/main.py"]


def test_another_archive_is_refused(tmp_path):
    (tmp_path / "archive.tar.gz").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="SHA-256"):
        comfyui_source.extract(tmp_path / "archive.tar.gz", tmp_path / "out")


def test_uv_gets_the_index_settings_of_pip(monkeypatch):
    for variable in environment.UV_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    listing = "\n".join(
        [
            ":env:.index-url='https://from.environment/simple'",
            "global.index-url='https://from.file/simple'",
            "global.extra-index-url='https://a/simple https://b/simple'",
            "global.find-links='/wheels\\n/more'",
            "global.timeout='60'",
        ]
    )
    monkeypatch.setattr(environment.subprocess, "run", lambda *_, **__: type("Listing", (), {"stdout": listing}))
    settings = environment.uv_settings()
    assert settings["UV_DEFAULT_INDEX"] == "https://from.environment/simple"
    assert settings["UV_INDEX"] == "https://a/simple https://b/simple"
    assert settings["UV_FIND_LINKS"] == "/wheels,/more"


def test_scripts_compile_what_they_import_once(monkeypatch, tmp_path):
    """Also where Python is told to keep no compiled code, which then lies in the environment alone."""
    monkeypatch.setattr(environment, "VENV", tmp_path)
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(environment, "STAMP", tmp_path / "complete")
    monkeypatch.delenv("COMFYUI_PATH")
    monkeypatch.setattr(environment.signal, "signal", lambda *_: None)
    (tmp_path / "complete").write_text(environment._key(environment._own_comfyui()))
    (tmp_path / "imported.py").touch()
    script = tmp_path / "script.py"
    script.write_text("import imported")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(sys, "argv", [str(script)])
    with pytest.raises(SystemExit) as ended:
        environment.enter()
    assert ended.value.code == 0
    assert list((tmp_path / "bytecode").rglob("imported.*.pyc"))
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("version", [(3, 9, 2), (4, 0, 0)])
def test_an_unfit_python_is_told(monkeypatch, version):
    monkeypatch.setattr(environment.sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"needs Python 3\.10 to"):
        environment._check_python()


def test_any_python_is_taken_with_here_if_it_is_told_where_comfyui_is(monkeypatch):
    def make(*_):
        raise AssertionError("an environment was made")

    monkeypatch.setattr(environment, "_make", make)
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 2))
    monkeypatch.setenv("COMFYUI_PATH", "anywhere")
    environment.enter(here=True)
    monkeypatch.delenv("COMFYUI_PATH")
    with pytest.raises(SystemExit, match="--here needs COMFYUI_PATH"):
        environment.enter(here=True)


def test_the_random_checkpoints_vae_gives_a_smooth_picture_back():
    from comfy.taesd.taesd import TAESD

    vae = TAESD()
    vae.load_state_dict(sd15_checkpoint.linear_vae())
    ramp = torch.linspace(-0.8, 0.8, 128)
    down, across = torch.meshgrid(ramp, ramp, indexing="ij")
    picture = torch.stack([across, down, torch.zeros_like(down)])
    with torch.no_grad():
        back = vae.decode(vae.encode(picture[None]))[0]
    middle = slice(32, 96)
    assert (back - picture)[:, middle, middle].abs().max() < 0.05
