"""Rounds of trainings to which random things happen, each in a process of its own."""

import contextlib
import hashlib
import logging
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import comfy.model_management
import folder_paths
from idl_runs import inputs, load, run_inputs, same
from styo.bridge.progress import TrainingProgress
from styo.training import part_file, safetensors_file

FORK = multiprocessing.get_context("fork")
STEPS, SAVE_EVERY = 6, 2
KINDS = {
    "full": {},
    "lora_fp16_text": {"method": "lora", "precision": "fp16", "train_text_encoder": True},
    "cross_attention": {"method": "cross_attention"},
}
PREFIX = "loras/StyO/idl"
WEIGHTS, STATES = "loras/StyO", "styo_training"


def kill():
    """End this process as a crash does."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(step, do):
    """Call ``do`` once ``step`` steps are done."""
    call = TrainingProgress.__call__

    def watched(self, history):
        if history.step == step:
            do()
        call(self, history)

    TrainingProgress.__call__ = watched


def within_a_write(number, do):
    """Call ``do`` when half of the ``number``-th file from now is written."""
    write_to, count = safetensors_file._write_to, [0]

    def watched(file, tensors, metadata):
        if count[0] == number:
            half = dict(list(tensors.items())[: len(tensors) // 2])
            write_to(file, half, metadata)
            do(file)
        count[0] += 1
        write_to(file, tensors, metadata)

    safetensors_file._write_to = watched


def full_disk(folders, first):
    """From the ``first`` file on there is no room in ``folders``."""
    write_to, count = safetensors_file._write_to, [0]

    def watched(file, tensors, metadata):
        count[0] += 1
        if count[0] > first and Path(file.name).parent in folders:
            file.write(b"as much as fits")
            raise OSError(28, "No space left on device")
        write_to(file, tensors, metadata)

    safetensors_file._write_to = watched


def killed_after_the_move():
    """Die between the move of a file to its name and everything after it."""
    move = part_file._move_exclusively

    def watched(source, target):
        os.link(source, target)
        kill()
        move(source, target)

    part_file._move_exclusively = watched


class Soak:
    """Trainings in ``folder``, all chance of which comes from ``seed``."""

    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        self.output, self.temporary = folder / "output", folder / "temporary"
        for each in (self.output / WEIGHTS, self.temporary):
            each.mkdir(parents=True)
        self.finished = {}

    def events(self):
        """What may happen to one run: its name, and what arranges it inside of the run's process."""
        choice = self.random
        step, number = choice.randrange(STEPS + 1), choice.randrange(5)
        disks = [self.output / WEIGHTS, self.output / STATES, self.temporary][: choice.randrange(1, 4)]
        return [
            (f"cancel at step {step}", lambda: at_step(step, comfy.model_management.interrupt_current_processing)),
            (f"kill at step {step}", lambda: at_step(step, kill)),
            (f"kill in write {number}", lambda: within_a_write(number, lambda file: file.flush() or kill())),
            ("kill after a move", killed_after_the_move),
            (f"{len(disks)} disks full from write {number}", lambda: full_disk(disks, number)),
            ("nothing", lambda: None),
        ]

    def round(self):
        """One training under several events in a row, which are printed, and then to its end."""
        name = self.random.choice(list(KINDS))
        print(f"{name}:", end=" ", flush=True)
        changes = {**KINDS[name], "steps": STEPS, "seed": self.random.randrange(10**6)}
        expected = run_inputs(inputs(**changes, filename_prefix="expected/idl"))
        for _ in range(self.random.randrange(1, 5)):
            processes = []
            for _ in range(self.random.choice((1, 1, 2))):
                event, arrange = self.random.choice(self.events())
                print(event, end=", ", flush=True)
                process = FORK.Process(target=_run, args=(changes, arrange))
                process.start()
                processes.append(process)
            for process in processes:
                process.join()
                assert process.exitcode in (0, -signal.SIGKILL), f"a run ended in {process.exitcode}"
            if self.random.random() < 0.2:
                print(self.damage_a_state(), end=", ", flush=True)
            self.require_the_finished()
        *_, weights, loss = run_inputs(inputs(**changes, save_every=SAVE_EVERY, filename_prefix=PREFIX))
        assert same(weights, expected[2]), "other weights than of an uninterrupted training"
        assert loss == expected[3], "other losses than of an uninterrupted training"
        self.require_the_finished()
        self.require_no_leftovers()
        self.note_the_finished(weights)

    def damage_a_state(self):
        """Break what a later run would go on from, if there is such a thing."""
        for state in (self.output / STATES).glob("[!s]*.safetensors"):
            data = state.read_bytes()
            state.write_bytes(self.random.choice((b"", data[: len(data) // 2], b"\xff" * 1000)))
            return "damaged file"
        return "no file to damage"

    def require_the_finished(self):
        """Every finished file is there as it was."""
        for path, digest in self.finished.items():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, f"{path} was changed"

    def require_no_leftovers(self):
        """No half-written file, no state, no weights out of their folder."""
        for folder in (self.output, self.temporary):
            assert not list(folder.rglob(".styo_*")), f"half-written files in {folder}"
        assert list(self.temporary.iterdir()) == []
        assert {path.suffix for path in (self.output / STATES).iterdir()} <= {".damaged"}

    def note_the_finished(self, weights):
        """Remember this round's finished files, and make room: those of earlier rounds and what was on the way go."""
        for path in list(self.finished)[:-6]:
            path.unlink()
            del self.finished[path]
        for path in (self.output / WEIGHTS).glob("*.safetensors"):
            tensors = load(path)
            if "_step" in path.name:
                path.unlink()
            elif path not in self.finished:
                assert same(tensors, weights), f"{path} has other weights"
                self.finished[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*(self.output / STATES).iterdir(), *(self.output / "expected").iterdir()]:
            path.unlink()


def _run(changes, arrange):
    """One run in a process of its own, ended by whatever ``arrange`` lets happen."""
    logging.disable(logging.CRITICAL)
    arrange()
    with contextlib.suppress(RuntimeError, comfy.model_management.InterruptProcessingException):
        run_inputs(inputs(**changes, save_every=SAVE_EVERY, filename_prefix=PREFIX))


def soak(folder, seed, seconds):
    """Rounds for about ``seconds``, at least one; returns how many."""
    print(f"seed {seed}", flush=True)
    rounds, end = 0, time.monotonic() + seconds
    before = folder_paths.output_directory, tempfile.tempdir
    soaking = Soak(folder, seed)
    folder_paths.output_directory, tempfile.tempdir = str(soaking.output), str(soaking.temporary)
    logging.disable(logging.WARNING)
    try:
        while rounds == 0 or time.monotonic() < end:
            rounds += 1
            print(f"round {rounds}:", end=" ")
            soaking.round()
            print("as it should be", flush=True)
    finally:
        folder_paths.output_directory, tempfile.tempdir = before
        logging.disable(logging.NOTSET)
    print(f"{rounds} rounds: nothing lost, nothing overwritten, nothing left over", flush=True)
    return rounds
