"""What tells a training from every other: the same inputs are found again, whatever else ran in between."""

import torch
from idl_runs import files, inputs, run_inputs
from safetensors import safe_open
from styo.training.prompts import Prompts
from styo.training.weights import read_training
from tiny import make_clip, make_model, make_vae

GOLDEN = "88c4b9e6af42cb9a3a05327b6b25bb425f088e105991fc9902614c3e153e35e0"
"""Trainings under way and finished files are found by it: a change of it starts every one of them over."""


def fill(patcher):
    """Give every weight the same values on every machine, by arithmetic that rounds nowhere."""
    for name, weight in patcher.model.state_dict().items():
        if not name.startswith("model_sampling."):
            weight.copy_(((torch.arange(weight.numel()) * 7 + len(name)) % 33 - 16).view(weight.shape) / 256)


def ramp(shift):
    """An IMAGE [1, 64, 64, 3] of exact values."""
    return ((torch.arange(64 * 64 * 3) * 5 + shift) % 256).view(1, 64, 64, 3) / 256


def fingerprint(output):
    """That of the one finished file."""
    (name,) = files(output)
    with safe_open(output / name, framework="pt") as file:
        return read_training(file.metadata())["fingerprint"]


def test_trainings_under_way_are_found_by_a_later_version(output):
    model, clip, vae = make_model(), make_clip(), make_vae()
    for patcher in (model, clip.patcher, vae.patcher):
        fill(patcher)
    clip.clip_layer(-2)
    pictures = {"source_image": [ramp(0)], "target_image": [ramp(1)], "auxiliary_images": [ramp(2), ramp(3)]}
    prompts = Prompts(style_repeats=2, subject="(face:1.5)")
    changes = {"method": "lora", "steps": 1, "learning_rate": 1e-4, "seed": 5, "train_text_encoder": True}
    run_inputs(inputs(model=model, clip=clip, vae=vae, prompts=prompts, **changes, **pictures))
    assert fingerprint(output) == GOLDEN
