"""Out of memory: the message names the next smaller choice, and following it leads to the smallest settings."""

import dataclasses
import random

import comfy.model_management
import pytest
import torch
from idl_runs import inputs, run_inputs
from styo.bridge.learner import Learner
from styo.training.settings import METHODS, OPTIMIZERS, PRECISIONS, Settings
from styo.training.smaller import advice, next_smaller

LARGEST = Settings(
    method="full",
    train_text_encoder=True,
    train_identifiers=True,
    rank=1024,
    resolution=2048,
    precision="fp32",
    gradient_checkpointing=False,
)


def drawn(rng):
    """Settings at random."""
    return Settings(
        method=rng.choice(METHODS),
        precision=rng.choice(PRECISIONS),
        optimizer=rng.choice(OPTIMIZERS),
        train_text_encoder=rng.random() < 0.5,
        train_identifiers=rng.random() < 0.5,
        gradient_checkpointing=rng.random() < 0.5,
        rank=rng.randint(1, 1024),
        resolution=64 * rng.randint(1, 32),
    )


def test_the_advice_can_be_followed_to_the_end():
    rng = random.Random()
    for settings in (LARGEST, Settings(), *(drawn(rng) for _ in range(50))):
        for _ in range(20):
            smaller = next_smaller(settings)
            if smaller is None:
                break
            changed = [
                f.name for f in dataclasses.fields(Settings) if getattr(settings, f.name) != getattr(smaller, f.name)
            ]
            assert len(changed) == 1 and f"is {changed[0]} " in advice(settings)
            settings = smaller
        assert "smallest settings" in advice(settings)
        assert settings.method == "lora" and settings.gradient_checkpointing and not settings.train_text_encoder
        assert not settings.train_identifiers
        assert settings.rank <= 16 and settings.resolution <= 256 and settings.precision != "fp32"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({}, "gradient_checkpointing on instead of off"),
        ({"gradient_checkpointing": True}, "precision bf16 instead of fp32"),
        ({"gradient_checkpointing": True, "precision": "fp16"}, "optimizer adafactor instead of adam"),
        (
            {"gradient_checkpointing": True, "precision": "fp16", "optimizer": "adafactor"},
            "method cross_attention instead of full",
        ),
        ({"gradient_checkpointing": True, "precision": "fp16", "method": "lora"}, "smallest settings"),
    ],
)
def test_running_out_of_memory_names_the_next_smaller_choice(output, monkeypatch, changes, words):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Learner, "losses_of_a_draw", full)
    with pytest.raises(RuntimeError, match=f"StyO ran out of memory: .*{words}"):
        run_inputs(inputs(**changes))


def test_out_of_memory_is_told_however_a_device_says_it(output, monkeypatch):
    def full(*_):
        raise comfy.model_management.ACCELERATOR_ERROR("HIP error: out of memory")

    monkeypatch.setattr(Learner, "losses_of_a_draw", full)
    with pytest.raises(RuntimeError, match="StyO ran out of memory: the next smaller choice is"):
        run_inputs(inputs())


def test_other_errors_are_not_taken_for_it(output, monkeypatch):
    def broken(*_):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(Learner, "losses_of_a_draw", broken)
    with pytest.raises(RuntimeError, match="no kernel image is available"):
        run_inputs(inputs())
