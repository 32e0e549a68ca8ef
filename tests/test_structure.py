"""The rooms of the pack: who imports whom, as docs/structure.md draws it."""

import ast
import re
from pathlib import Path

import pytest
from on_gpu.programme import PARTS

ROOT = Path(__file__).resolve().parent.parent
ARROWS = {
    "nodes": {"bridge", "demo", "styo_attention", "training"},
    "bridge": {"styo_attention", "training"},
    "training": {"styo_attention"},
    "styo_attention": set(),
    "demo": {"training"},
    "demo/pretraining": {"bridge", "demo", "styo_attention", "training"},
}
COMFYUI = {
    "comfy",
    "comfy_api",
    "comfy_extras",
    "comfy_execution",
    "execution",
    "folder_paths",
    "node_helpers",
    "server",
}
MOST_LINES = 300


def room_of(path: Path) -> str:
    """The room that a module stands in."""
    inside = path.relative_to(ROOT).as_posix()
    return next(room for room in sorted(ARROWS, key=len, reverse=True) if inside.startswith(f"{room}/"))


def modules(room: str) -> list[Path]:
    """The modules of a room, without those of a room in it."""
    return [path for path in (ROOT / room).rglob("*.py") if room_of(path) == room]


def imports(path: Path) -> tuple[set[str], set[str]]:
    """The rooms that a module imports from, and the names of the packages."""
    rooms, packages = set(), set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            targets = [folder] if node.module else [folder / alias.name for alias in node.names]
            rooms |= {room_of(target / "module.py") for target in targets}
        elif isinstance(node, ast.ImportFrom):
            packages.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
    return rooms, packages


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_from_those_below_it(room):
    assert modules(room)
    for path in modules(room):
        assert imports(path)[0] <= ARROWS[room] | {room}, path.name


@pytest.mark.parametrize("room", ["training", "styo_attention"])
def test_the_mathematics_needs_no_comfyui(room):
    for path in modules(room):
        assert not imports(path)[1] & COMFYUI, path.name


def test_the_pack_imports_itself_by_relative_paths_only():
    for room in ARROWS:
        for path in modules(room):
            assert not imports(path)[1] & {"styo", "scripts", "benchmarks", "tests", *ARROWS}, path.name


def test_a_module_is_about_one_thing():
    long = {path.name: len(path.read_text("utf-8").splitlines()) for room in ARROWS for path in modules(room)}
    assert max(long.values()) <= MOST_LINES, long


@pytest.mark.parametrize("room", ["nodes", "training", "styo_attention", "bridge", "demo"])
def test_the_page_on_structure_names_every_module_of_a_room(room):
    tree = (ROOT / "docs/structure.md").read_text("utf-8").partition("## The modules")[2]
    lines = re.search(rf"^{room}/.*\n((?:  .*\n)*)", tree, re.M)[1]
    modules = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__"}
    assert set(re.findall(r"^  (\w+)\.py  ", lines, re.M)) == modules


def test_every_module_of_the_benchmarks_serves_a_command():
    modules = [path for path in (ROOT / "benchmarks").glob("*/*.py") if path.stem != "__init__"]
    commands = list((ROOT / "benchmarks").glob("*.py"))
    imports = "\n".join(
        line
        for path in (*modules, *commands)
        for line in path.read_text("utf-8").splitlines()
        if " import " in f" {line}"
    )
    for path in modules:
        used = re.search(rf"(from|import)\b.*\b{path.stem}\b", imports)
        assert used or path.stem in [part.name for part in PARTS], f"nothing needs {path.parent.name}/{path.name}"
