"""What a training writes is never lost and overwrites nothing, whatever the disk and other processes do."""

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import tempfile

import pytest
import torch
from idl_runs import files, inputs, load, run, run_inputs, same
from styo.bridge import idl, output_files
from styo.training import safetensors_file
from styo.training.packed_losses import LISTED
from styo.training.part_file import PartFile, remove_leftovers
from styo.training.prompts import Prompts
from styo.training.settings import MAX_STEPS, Settings
from styo.training.weights import Base, describe, read_training
from test_idl_resume import cancel_at, uninterrupted

FORK = multiprocessing.get_context("fork")
NO_SPACE = OSError(28, "No space left on device")


@contextlib.contextmanager
def full_disks(*folders):
    """Nothing can be written to a file in one of ``folders``."""
    write_to = safetensors_file._write_to

    def write(file, *args):
        if os.path.dirname(file.name) in map(str, folders):
            raise NO_SPACE
        write_to(file, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(safetensors_file, "_write_to", write)
        yield


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("steps", [1, LISTED, LISTED + 1, 48_000, MAX_STEPS])
def test_the_losses_of_any_training_are_read_back(tmp_path, steps):
    losses = (torch.rand(steps, generator=torch.Generator().manual_seed(0)) * 1e-5).tolist()
    base = Base("model.safetensors", "stable-diffusion-v1", "epsilon")
    metadata = describe(Prompts(), Settings(steps=steps), losses, {}, "f" * 64, base)
    path = tmp_path / "weights.safetensors"
    safetensors_file.write(path, {"x": torch.zeros(1)}, metadata)
    assert read_training(safetensors_file.read_metadata(path))["losses"] == losses


def test_a_name_that_another_process_takes_meanwhile_is_left_to_it(output, monkeypatch):
    fsync, theirs = os.fsync, output / "loras/StyO/idl_00001_.safetensors"

    def meanwhile(file):
        theirs.write_bytes(b"theirs")
        fsync(file)

    monkeypatch.setattr(os, "fsync", meanwhile)
    weights = run(steps=1)[2]
    assert theirs.read_bytes() == b"theirs"
    assert same(load(output / "loras/StyO/idl_00002_.safetensors"), weights)


def write_new(folder, barrier, number):
    barrier.wait()
    paths = [folder / f"{i}.safetensors" for i in range(4)]
    safetensors_file.write_new(paths, {"number": torch.tensor([number])}, {}, folder)


@pytest.mark.parametrize("hard_links", [True, False])
def test_two_processes_never_write_to_one_name(tmp_path, monkeypatch, hard_links):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", refuse)
    barrier = FORK.Barrier(3)
    writers = [FORK.Process(target=write_new, args=(tmp_path, barrier, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    written = [int(load(path)["number"]) for path in tmp_path.iterdir()]
    assert sorted(written) == [0, 1, 2]


def hold_a_part(folder, connection):
    part = PartFile(folder)
    part.file.write(b"half of it")
    connection.send(True)
    signal.pause()


def test_half_written_files_are_removed_once_their_process_is_gone(tmp_path):
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=hold_a_part, args=(tmp_path, theirs))
    process.start()
    assert ours.recv()
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    process.kill()
    process.join()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_clears_up_what_a_killed_one_left_half_written(output, temporary):
    for folder in (output / "loras/StyO", output / "styo_training", temporary):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".styo_0123456789abcdef.part").write_bytes(b"half of it")
    run(steps=1)
    assert not list(output.rglob(".styo_*"))


LETTERS = 255 - len("_00001_.safetensors")


@pytest.mark.parametrize(
    "name, reason",
    [
        ("x" * (LETTERS + 1), "File name too long"),
        ("x" * LETTERS, "File name too long"),
        ("ü" * (LETTERS // 2 + 1), "File name too long"),
        (f"{'x' * 300}/idl", "File name too long"),
        ("idl\0", "characters that no file name can have"),
        ("a\0b/idl", "characters that no file name can have"),
        ("idl\ud800", "characters that no file name can have"),
    ],
    ids=["final", "on_the_way", "bytes", "folder", "null", "null_in_folder", "surrogate"],
)
def test_a_name_that_cannot_be_is_refused_before_training(output, monkeypatch, name, reason):
    monkeypatch.setattr(idl, "Learner", None)
    with pytest.raises(ValueError, match="filename_prefix is ") as error:
        run(filename_prefix=f"loras/StyO/{name}")
    assert reason in str(error.value)
    assert str(error.value).endswith(".")
    assert files(output, "**/*.safetensors") == []


def test_a_name_that_the_system_changes_is_refused_before_training(output, monkeypatch):
    monkeypatch.setattr(idl, "Learner", None)
    monkeypatch.setattr(output_files.os, "listdir", lambda _: ["idl"])
    with pytest.raises(ValueError, match="which no file can be called here"):
        run(filename_prefix="loras/StyO/idl:1")


@pytest.mark.parametrize("full", [["loras/StyO"], ["loras/StyO", "styo_training"]])
def test_finished_weights_without_room_are_kept_and_picked_up(output, temporary, monkeypatch, caplog, full):
    expected = uninterrupted()
    with full_disks(*(output / folder for folder in full)), pytest.raises(RuntimeError) as error:
        run()
    folder = temporary if "styo_training" in full else output / "styo_training"
    (kept,) = folder.glob("*.safetensors")
    assert f"loras/StyO (No space left on device) and are kept as {kept}" in str(error.value)
    monkeypatch.setattr(idl, "Learner", None)
    with full_disks(output / "loras/StyO"), caplog.at_level(logging.WARNING):
        *_, weights, loss = run()
    assert f"used from {kept}" in caplog.text
    assert same(weights, expected[0])
    assert loss == expected[1]
    assert same(run()[2], expected[0])
    assert same(load(output / "loras/StyO/idl_00001_.safetensors"), expected[0])
    assert not kept.exists()
    assert files(output, "styo_training/*") == []


def test_a_crash_between_the_copy_of_kept_weights_and_their_removal_leaves_nothing_behind(output, temporary):
    with full_disks(output / "loras/StyO", output / "styo_training"), pytest.raises(RuntimeError):
        run()
    (kept,) = temporary.iterdir()
    shutil.copy(kept, output / "loras/StyO/idl_00001_.safetensors")
    run()
    assert files(output) == ["loras/StyO/idl_00001_.safetensors"]
    assert list(temporary.iterdir()) == []


@contextlib.contextmanager
def crash_after_the_finished_weights():
    """The process dies between the finished weights' move to their name and all that comes after it."""

    def die(_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_files.OutputFiles, "drop_superseded", die)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_a_crash_between_the_finished_weights_and_the_removal_of_their_state_leaves_nothing_behind(output):
    with crash_after_the_finished_weights():
        run(save_every=1)
    assert len(files(output, "styo_training/*")) == 1
    assert same(run(save_every=1)[2], uninterrupted()[0])
    assert files(output, "styo_training/*") == []


def test_a_finished_training_leaves_a_longer_ones_state_alone(output, caplog):
    """Also the state of a longer one that was stopped before as many steps."""
    run(steps=3)
    with cancel_at(2):
        run(steps=4)
    run(steps=3)
    with caplog.at_level(logging.INFO):
        weights = run(steps=4)[2]
    assert "going on from step 2" in caplog.text
    assert same(weights, uninterrupted(steps=4)[0])
    assert files(output, "styo_training/*") == []


def test_a_damaged_state_beside_finished_weights_is_moved_aside(output):
    with crash_after_the_finished_weights():
        run(save_every=1)
    (state,) = (output / "styo_training").iterdir()
    state.write_bytes(state.read_bytes()[:100])
    run(save_every=1)
    assert files(output, "styo_training/*") == [f"styo_training/{state.stem}.damaged"]


def test_without_room_anywhere_it_says_so_and_goes_on_from_the_last_save(output, temporary):
    expected = uninterrupted(steps=4)
    with cancel_at(2):
        run(steps=4)
    disks = (output / "loras/StyO", output / "styo_training", temporary)
    with full_disks(*disks), pytest.raises(RuntimeError, match="nor anywhere else: free some space"):
        run(steps=4)
    assert same(run(steps=4)[2], expected[0])


def test_a_save_on_the_way_that_finds_no_room_does_not_end_the_training(output, caplog):
    with full_disks(output / "styo_training"):
        weights = run(steps=3, save_every=1)[2]
    assert "what was trained up to step 2 could not be saved (No space left on device)" in caplog.text
    assert same(weights, uninterrupted(steps=3)[0])


def test_cancel_on_a_full_disk_is_still_a_cancel(output, caplog):
    with full_disks(output / "styo_training"), cancel_at(2):
        run(steps=3)
    assert "could not be saved (No space left on device)" in caplog.text


def test_resuming_asks_only_for_what_is_still_to_be_written(output, monkeypatch):
    values = inputs(steps=6, save_every=1)
    with cancel_at(3):
        run_inputs(values)
    numbers = sum(value.numel() for value in load(output / files(output)[0]).values())
    still_to_write = 4 * numbers * 3 + 12 * numbers
    usage = shutil.disk_usage(output)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=still_to_write - 1))
    with pytest.raises(ValueError, match="GB left and this training writes up to"):
        run_inputs(values)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=still_to_write))
    run_inputs(values)
    with pytest.raises(ValueError, match="GB left and this training writes up to"):
        run_inputs({**values, "seed": [1]})
