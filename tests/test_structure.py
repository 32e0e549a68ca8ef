"""The rooms of the pack: who imports whom, as docs/structure.md draws it."""

import ast
from pathlib import Path

import pytest

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
