"""What tells a training from every other: the same inputs are found again, whatever else ran in between."""

import comfy.model_management
import comfy.model_sampling
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import PatcherInjection
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


def lcm(clone):
    """As the node ModelSamplingDiscrete makes it."""

    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        pass

    clone.add_object_patch("model_sampling", Sampling())
    clone.get_model_object("model_sampling").set_sigmas(torch.linspace(0.1, 9.0, 50))


def with_another_layer(clone):
    layer = clone.get_model_object("diffusion_model.out.2")
    other = type(layer)(*(32, 4), 3, padding=1, dtype=torch.float32)
    torch.nn.init.zeros_(other.weight)
    clone.add_object_patch("diffusion_model.out.2", other)


def with_a_lora(clone):
    clone.add_patches({"diffusion_model.out.2.weight": ("diff", (torch.ones(4, 32, 3, 3),))})


def with_an_injected_layer(clone):
    def inject(patcher):
        patcher.model.diffusion_model.injected = torch.nn.Linear(2, 2)

    def eject(patcher):
        del patcher.model.diffusion_model.injected

    clone.set_injections("test", [PatcherInjection(inject, eject)])


@pytest.mark.parametrize("change", [lcm, with_another_layer, with_a_lora, with_an_injected_layer])
def test_a_clone_that_ran_in_between_does_not_hide_a_finished_training(output, change):
    values = inputs(steps=1)
    first = run_inputs(values)
    clone = values["model"][0].clone()
    change(clone)
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([clone])
    again = run_inputs(values)
    comfy.model_management.unload_all_models()
    assert first[3] == again[3]
    assert len(files(output)) == 1
