"""A training that is cut short goes on where it stopped, and ends where it would have ended."""

import contextlib
import logging
import multiprocessing
import os
import signal

import comfy.model_management
import pytest
import torch
from idl_runs import files, inputs, load, run, run_inputs, same
from idl_soak import at_step, kill
from styo.bridge import unet_copy
from styo.bridge.progress import TrainingProgress
from styo.training import optimizer, safetensors_file

FORK = multiprocessing.get_context("fork")


def killed_run(step, changes):
    """A run whose process is killed once ``step`` steps are done."""
    at_step(step, kill)
    run(**changes)


@contextlib.contextmanager
def cancel_at(step):
    """The user presses Cancel once a training has done ``step`` steps."""
    call = TrainingProgress.__call__

    def press(self, history):
        if history.step == step:
            comfy.model_management.interrupt_current_processing()
        call(self, history)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingProgress, "__call__", press)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            yield
    comfy.model_management.interrupt_current_processing(False)


def uninterrupted(**changes):
    return run(**changes, filename_prefix="loras/uninterrupted/idl")[2:]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adafactor"},
        {"method": "lora", "precision": "fp16", "train_text_encoder": True},
        {"method": "lora", "train_identifiers": True},
    ],
    ids=["full_adafactor", "lora_fp16_text", "lora_identifiers"],
)
def test_killed_between_two_saves_it_ends_with_the_same_weights(output, caplog, changes):
    changes = {"steps": 7, "save_every": 2, **changes}
    process = FORK.Process(target=killed_run, args=(5, changes))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert files(output) == [f"loras/StyO/idl_step0000{step}_00001_.safetensors" for step in (2, 4)]
    with caplog.at_level(logging.INFO):
        *_, weights, loss = run(**changes)
    assert "going on from step 4" in caplog.text
    expected, expected_loss = uninterrupted(**changes)
    assert same(weights, expected)
    assert loss == expected_loss
    assert files(output, "styo_training/*") == []


def test_cancel_stops_at_once_and_resumes(output, caplog):
    three_steps = run(steps=3, filename_prefix="loras/short/idl")[2]
    expected, expected_loss = uninterrupted(steps=6)
    with cancel_at(3):
        run(steps=6)
    assert files(output, "loras/StyO/*") == ["loras/StyO/idl_step00003_00001_.safetensors"]
    assert same(load(output / files(output, "loras/StyO/*")[0]), three_steps)
    with caplog.at_level(logging.INFO):
        *_, weights, loss = run(steps=6)
    assert "going on from step 3" in caplog.text
    assert same(weights, expected)
    assert loss == expected_loss


def test_cancel_before_the_first_step_leaves_no_files(output):
    with cancel_at(0):
        run()
    assert files(output, "**/*.safetensors") == []


def test_other_inputs_start_over(output, caplog):
    with cancel_at(2):
        run(steps=3)
    with caplog.at_level(logging.INFO):
        run(steps=3, seed=1)
    assert "going on" not in caplog.text


def test_fewer_steps_than_are_done_lose_nothing(output):
    with cancel_at(3):
        run(steps=6)
    state = output / files(output, "styo_training/*")[0]
    before = state.read_bytes()
    with pytest.raises(ValueError, match="steps is 2, but this training was stopped at step 3"):
        run(steps=2)
    assert state.read_bytes() == before


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "foreign"])
def test_a_damaged_state_is_moved_aside_and_training_starts_over(output, caplog, damage):
    with cancel_at(2):
        run(steps=3)
    state = output / files(output, "styo_training/*")[0]
    whole = state.read_bytes()
    if damage == "foreign":
        safetensors_file.write(state, {"x": torch.zeros(3)}, {"styo.state": "1"})
    else:
        state.write_bytes({"truncated": whole[: len(whole) // 2], "garbage": b"\xff" * 1000, "empty": b""}[damage])
    *_, weights, _ = run(steps=3)
    assert "cannot be used" in caplog.text
    assert same(weights, uninterrupted(steps=3)[0])
    assert [path.suffix for path in (output / "styo_training").iterdir()] == [".damaged"]


def test_every_damaged_state_is_kept(output):
    damaged = [bytes([number]) * 100 for number in range(3)]
    for content in damaged:
        with cancel_at(1):
            run(steps=2)
        (state,) = (output / "styo_training").glob("*.safetensors")
        state.write_bytes(content)
    run(steps=2)
    kept = sorted((output / "styo_training").iterdir())
    assert {path.suffix for path in kept} == {".damaged"}
    assert sorted(path.read_bytes() for path in kept) == damaged


@pytest.mark.parametrize("moved", [True, False], ids=["moved aside", "finished with"])
def test_a_state_that_another_training_takes_away_meanwhile_is_not_missed(output, monkeypatch, caplog, moved):
    """Moved aside as damaged after both have read it, or removed before it is read."""
    expected = uninterrupted(steps=3)[0]
    with cancel_at(2):
        run(steps=3)
    state = output / files(output, "styo_training/*")[0]
    state.write_bytes(b"damaged")
    read = safetensors_file.read

    def read_while_another_takes_it_away(path):
        if not moved:
            path.unlink()
        try:
            return read(path)
        finally:
            if moved:
                path.replace(path.with_suffix(".damaged"))

    monkeypatch.setattr(safetensors_file, "read", read_while_another_takes_it_away)
    *_, weights, _ = run(steps=3)
    assert same(weights, expected)
    assert ("another training has moved it" in caplog.text) == moved
    assert [path.suffix for path in (output / "styo_training").iterdir()] == [".damaged"] * moved


def test_a_save_that_is_cut_short_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    safetensors_file.write(path, {"x": torch.zeros(3)}, {})

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        safetensors_file.write(path, {"x": torch.ones(3)}, {})
    assert torch.equal(safetensors_file.read(path)[0]["x"], torch.zeros(3))
    assert list(tmp_path.iterdir()) == [path]


def test_a_non_finite_loss_keeps_the_last_good_weights(output, monkeypatch):
    good = run(steps=3, filename_prefix="loras/good/idl")[2]
    eps_theta, calls = unet_copy.eps_theta, []

    def failing(*arguments):
        predict = eps_theta(*arguments)

        def maybe(z_t, t, c):
            calls.append(1)
            return predict(z_t, t, c) * (float("nan") if len(calls) == 4 else 1.0)

        return maybe

    monkeypatch.setattr(unet_copy, "eps_theta", failing)
    with pytest.raises(RuntimeError, match=r"loss became nan at step 4: choose a lower learning_rate") as error:
        run(steps=6)
    assert str(output / "loras/StyO/idl_step00004_00001_.safetensors") in str(error.value)
    assert files(output, "loras/StyO/*") == ["loras/StyO/idl_step00004_00001_.safetensors"]
    assert same(load(output / files(output, "loras/StyO/*")[0]), good)


def test_a_good_run_follows_a_failed_one(output, monkeypatch):
    values = inputs()
    with monkeypatch.context() as broken:
        broken.setattr(unet_copy, "eps_theta", lambda *_: lambda z_t, *_: z_t * float("nan"))
        with pytest.raises(RuntimeError):
            run_inputs(values)
    assert same(run_inputs(values)[2], uninterrupted()[0])


def breaks_at_step_3(monkeypatch):
    eps_theta = unet_copy.eps_theta

    def failing(*args):
        predict, calls = eps_theta(*args), []
        return lambda *inputs: predict(*inputs) * (float("nan") if calls.append(1) or len(calls) == 3 else 1.0)

    monkeypatch.setattr(unet_copy, "eps_theta", failing)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_that_ended_in_nan_is_not_taken_for_finished(output, monkeypatch, precision):
    breaks_at_step_3(monkeypatch)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="loss became nan at step 3") as error:
            run(steps=3, precision=precision)
        assert ("precision fp32" in str(error.value)) == (precision != "fp32")
    assert files(output) == ["loras/StyO/idl_step00003_00001_.safetensors"]


@pytest.mark.parametrize("kind", ["adam", "adafactor"])
def test_a_save_before_the_first_finite_gradient_is_gone_on_from(output, monkeypatch, kind):
    """As on devices without a fused Adam, which remembers nothing of a step that is not taken."""
    monkeypatch.setattr(optimizer, "FUSED_DEVICES", ())
    monkeypatch.setattr(optimizer, "FP16_LOSS_SCALE", 2.0**24)
    changes = {"steps": 12, "precision": "fp16", "method": "cross_attention", "optimizer": kind}
    with cancel_at(1):
        run(**changes)
    (state,) = files(output, "styo_training/*")
    assert not any(name.startswith(("exp_avg", "row_var", "step")) for name in load(output / state))
    *_, weights, loss = run(**changes)
    expected, expected_loss = uninterrupted(**changes)
    assert same(weights, expected)
    assert loss == expected_loss
    assert any(change.abs().max() > 0 for change in weights.values())
