"""The run on a GPU loses nothing whatever happens, and every part of it runs: here on a CPU, at toy size."""

import json
import sys
import zipfile

import gpu_kit
import pytest
from on_gpu import programme, records, run
from on_gpu.programme import Part
from on_gpu.records import FAILED, LOST, MEASURED, NO_TIME, NOT_HERE, OK
from shared import kit

PARTS = [part.name for part in programme.PARTS]

STARTED = """
import json, os, pathlib, sys, time
part, folder = sys.argv[sys.argv.index("--part") + 1], pathlib.Path(sys.argv[1])
row = {"what": "first", "verdict": "ok", "seconds": 0.1, "figures": {"found": 7}, "note": ""}
(folder / f"{part}.json").write_text(json.dumps({"part": part, "environment": {"device": "x"}, "checks": [row]}))
if part == "hangs":
    time.sleep(1000)
if part == "crashes":
    os.abort()
"""


def verdicts(folder, part):
    """The verdicts of a part's checks, by what they check."""
    return {row["what"]: row["verdict"] for row in json.loads((folder / f"{part}.json").read_text("utf-8"))["checks"]}


def test_a_part_that_hangs_or_crashes_loses_neither_what_it_found_nor_the_other_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "GRACE", 0.5)
    parts = [Part("crashes", "?", 0.1), Part("hangs", "?", 0.1), Part("works", "?", 0.8)]
    assert not run.run(parts, 10, tmp_path, [sys.executable, "-c", STARTED, str(tmp_path)])
    assert verdicts(tmp_path, "crashes") == {"first": OK, "the rest": LOST}
    assert verdicts(tmp_path, "hangs") == {"first": OK, "the rest": LOST}
    assert verdicts(tmp_path, "works") == {"first": OK}
    table = (tmp_path / records.TABLE).read_text("utf-8")
    assert table.count("found 7") == 3 and "stopped after" in table and "ended with code -6" in table


def test_what_a_part_leaves_over_goes_to_those_after_it():
    parts = [Part("a", "?", 0.2), Part("b", "?", 0.2), Part("c", "?", 0.1)]
    assert programme.allotted(parts, 100) == pytest.approx(40)
    assert programme.allotted(parts[1:], 90) == pytest.approx(60)
    assert programme.allotted(parts[2:], 77) == pytest.approx(77)


def test_the_plan_names_every_part_and_divides_the_whole_time():
    text = programme.plan(programme.PARTS, 540)
    assert all(part.name in text and part.question in text for part in programme.PARTS)
    seconds = [float(line[len("passes   ") :].split()[0]) for line in text.splitlines()[1:]]
    assert sum(seconds) == pytest.approx(540, abs=3)
    with pytest.raises(ValueError, match="there is no part nothing: choose among passes, learning"):
        programme.chosen(["nothing", "passes"])


def test_every_check_has_a_verdict_whatever_becomes_of_it(tmp_path):
    def missing():
        raise records.NotHere("no such card")

    def broken():
        return {"ok": 1 / 0}

    place = records.Place("cpu", True, float("inf"))

    def slow():
        place.deadline = -float("inf")
        return {}

    checks = {
        "right": lambda: {"ok": True},
        "wrong": lambda: {"ok": False, "error": 0.5},
        "missing": missing,
        "broken": broken,
        "slow": slow,
        "late": broken,
    }
    records.carry_out(checks.items(), records.Record(tmp_path, "part", {"device": "x"}), place)
    expected = (OK, FAILED, NOT_HERE, FAILED, MEASURED, NO_TIME)
    assert verdicts(tmp_path, "part") == dict(zip(checks, expected, strict=True))
    table = records.table(tmp_path, ["part"])
    assert "no such card" in table and "ZeroDivisionError" in table and "error 0.5" in table


@pytest.mark.parametrize("part", PARTS)
def test_every_part_runs_on_a_cpu_at_toy_size(tmp_path, part):
    run.run_part(part, 600, tmp_path, "cpu", toy=True)
    found = verdicts(tmp_path, part)
    assert found and set(found.values()) <= {OK, MEASURED, NOT_HERE}, (tmp_path / f"{part}.json").read_text("utf-8")
    assert {OK, MEASURED} & set(found.values())


def wheel(folder, name, files):
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path in files:
            archive.writestr(path, "")


def test_only_wheels_that_fit_and_are_missing_or_newer_are_unpacked(tmp_path, monkeypatch):
    (tmp_path / kit.WHEELS).mkdir()
    wheels, here = tmp_path / kit.WHEELS, f"cp3{sys.version_info[1]}"
    wheel(wheels, "surely_missing-1.0-py3-none-any.whl", ["pure/__init__.py", "pure-1.0.dist-info/METADATA"])
    wheel(wheels, f"surely_missing_too-1.0-{here}-{here}-manylinux_2_17_x86_64.whl", ["own.py"])
    wheel(wheels, "surely_missing_as_well-1.0-cp39-abi3-manylinux_2_17_x86_64.whl", ["stable/x.so"])
    wheel(wheels, "later-1.0-cp399-abi3-manylinux_2_17_x86_64.whl", ["of_a_later_python/x.so"])
    wheel(wheels, "other-1.0-cp38-cp38-manylinux_2_17_x86_64.whl", ["of_another_python/x.so"])
    wheel(wheels, "numpy-1.0-py3-none-any.whl", ["numpy_of_old/__init__.py"])
    wheel(wheels, "typing_extensions-999.1-py3-none-any.whl", ["typing_extensions.py"])
    monkeypatch.delenv(kit.UNPACKED, raising=False)
    (tmp_path / "there").mkdir()
    kit.unpack(tmp_path, tmp_path / "there")
    monkeypatch.delenv(kit.UNPACKED)
    expected = {"pure", "pure-1.0.dist-info", "own.py", "stable", "typing_extensions.py"}
    assert {path.name for path in (tmp_path / "there").iterdir()} == expected


def test_the_kit_holds_comfyui_without_what_nobody_needs(tmp_path):
    tree = tmp_path / "tree"
    small, large = b"x", b"x" * (gpu_kit.LARGEST_FILE + 1)
    files = {
        "nodes.py": small,
        "comfy/sd1_tokenizer/vocab.json": large,
        "comfy/text_encoders/t5_tokenizer/tokenizer.json": large,
        "comfy/text_encoders/sd2_clip.py": small,
        "comfy/tests/kept.py": small,
        "tests/inference.py": small,
        "models/checkpoints/sd.safetensors": large,
        "comfy/__pycache__/x.pyc": small,
    }
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    gpu_kit.gather_comfyui(tree, tmp_path / "kit")
    kept = {str(path.relative_to(tmp_path / "kit")) for path in (tmp_path / "kit").rglob("*") if path.is_file()}
    assert kept == {
        "nodes.py",
        "comfy/sd1_tokenizer/vocab.json",
        "comfy/text_encoders/sd2_clip.py",
        "comfy/tests/kept.py",
    }


def test_comfyui_can_import_what_it_wants_of_a_missing_video_package(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "av"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(kit.importlib.util, "find_spec", lambda _: None)
    before = set(sys.modules)
    kit.stand_in_for_video()
    try:
        from av.container import InputContainer
        from av.subtitles.stream import SubtitleStream
        from av.video.reformatter import ColorRange

        assert all(isinstance(name, type) for name in (InputContainer, SubtitleStream, ColorRange))
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]
