"""Whether IDL Train is right on this device: the first step's gradient, every precision, stopping and going on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from unittest import mock

import comfy.model_management
import torch
from shared import launch
from shared.output_folder import temporary_output

from . import killed
from .records import Check, NotHere, Place, Wrong

sys.path.append(str(launch.ROOT / "tests"))
import idl_runs
from styo.bridge.encoded import encode
from styo.bridge.learner import Learner
from styo.bridge.progress import TrainingProgress
from styo.bridge.training_inputs import Inputs
from styo.bridge.unet_copy import training_sigmas
from styo.training.settings import METHODS, Settings

GRADIENT = 1e-2
"""How far a tensor's gradient may be from the CPU's, relative to its norm; the suite holds that to autograd."""
FELT = 1e-4
"""Gradients below this part of the largest are rounding."""
SAME_LOSS = {"fp32": 1e-3, "bf16": 0.05, "fp16": 0.05}
SAME_CHANGE, ROUNDED = 0.02, 0.1
"""How far apart equal weights are, of the largest change, and which part of them may be further apart."""
STEPS, SAVED, STOPPED = 6, 2, 5
FEW = {"steps": 3, "save_every": 0}
"""Enough to compare losses and previews."""


def checks(place: Place) -> Iterator[Check]:
    """What every other use rests on comes first."""
    for method in METHODS[-1:] if place.toy else METHODS:
        yield f"first gradient, {method}", functools.partial(_gradient, place, method, method == "lora")
    yield "killed between two saves, goes on", functools.partial(_killed, place)
    yield "Cancel, goes on", functools.partial(_cancelled, place)
    for precision in () if place.toy else SAME_LOSS:
        yield f"losses, {precision}", functools.partial(_losses, place, precision)
    yield (
        "losses, text encoder, adafactor",
        functools.partial(_losses, place, "fp32", train_text_encoder=True, optimizer="adafactor"),
    )
    yield "previews", functools.partial(_previews, place)


def _gradient(place: Place, method: str, text: bool) -> dict:
    """Every tensor's gradient of the first step, here and on the CPU, from the same draws."""
    settings = Settings(method, precision="fp32", resolution=64, rank=4, train_text_encoder=text)
    settings = dataclasses.replace(settings, gradient_checkpointing=True)
    with torch.backends.cudnn.flags(allow_tf32=False):
        here = _first_gradient(settings, comfy.model_management.get_torch_device())
    there = _first_gradient(settings, torch.device("cpu"))
    largest = max(float(slope.abs().max()) for slope in there.values())
    felt = {name: slope for name, slope in there.items() if float(slope.abs().max()) > FELT * largest}
    worst = max(float((here[name] - slope).norm() / slope.norm()) for name, slope in felt.items())
    return {
        "ok": worst <= GRADIENT,
        "worst tensor": worst,
        "tensors": len(felt),
        "too small to compare": len(there) - len(felt),
    }


def _first_gradient(settings: Settings, device: torch.device) -> dict[str, torch.Tensor]:
    values = idl_runs.inputs()
    model, clip, vae, prompts = (values[name][0] for name in ("model", "clip", "vae", "prompts"))
    inputs = Inputs(model, clip, vae, prompts, idl_runs.images(), settings)
    terms = encode(inputs, inputs.pixels(), inputs.tokens())
    with torch.inference_mode(False), torch.enable_grad():
        learner = Learner(inputs, terms, training_sigmas(model), device)
        learner.losses_of_a_draw().sum().backward()
    return {name: parameter.grad.cpu() for name, parameter in learner.trained.items()}


def _run(**changes) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Weights and losses of StyO IDL Train on the tiny models."""
    changes = {"steps": STEPS, "save_every": SAVED, **changes}
    *_, weights, loss = idl_runs.run(**changes)
    return weights, loss["loss"]


def _losses(place: Place, precision: str, **changes) -> dict:
    """The losses of a few steps here, against those on the CPU in fp32."""
    with temporary_output():
        losses = _run(precision=precision, **FEW, **changes)[1]
    cpu = torch.device("cpu")
    with mock.patch.object(comfy.model_management, "get_torch_device", lambda: cpu), temporary_output():
        expected = _run(precision="fp32", **FEW, **changes)[1]
    worst = max(abs(a / b - 1) for a, b in zip(losses, expected, strict=True))
    return {"ok": math.isfinite(worst) and worst <= SAME_LOSS[precision], "worst of the steps": worst}


def run_until_killed():
    """Train in ComfyUI's output folder, and be killed before a step."""
    with _between_steps(STOPPED, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        _run()


@contextlib.contextmanager
def _between_steps(step: int, happens) -> Iterator[None]:
    call = TrainingProgress.__call__

    def called(progress, history):
        if history.step == step:
            happens()
        call(progress, history)

    with mock.patch.object(TrainingProgress, "__call__", called):
        yield


@functools.cache
def _never_stopped() -> dict[str, torch.Tensor]:
    with temporary_output():
        return _run()[0]


def _goes_on(stop, from_step: int) -> dict:
    """``stop`` ends a training before its end; run again, it must end where one that was never stopped ends."""
    expected = _never_stopped()
    with temporary_output() as folder:
        stop(folder)
        with mock.patch("styo.training.resume.logging.info") as logged:
            weights, losses = _run()
        if not any(from_step in call.args and "going on" in call.args[0] for call in logged.call_args_list):
            raise Wrong(f"it did not go on from step {from_step}")
    return {**_alike(weights, expected, len(losses) == STEPS), "steps": len(losses)}


def _alike(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], whole: bool) -> dict:
    """Whether two trainings learned the same, apart from weights whose gradients are nothing but the GPU's rounding.

    ``whole`` tells whether the rest of what must be is.
    """
    a, b = (torch.cat([each[name].float().flatten() for name in expected]) for each in (weights, expected))
    others = 1 - float(((a - b).abs() <= SAME_CHANGE * b.abs().max()).float().mean())
    return {"ok": whole and others <= ROUNDED, "part of the weights that differ": others}


def _cancelled(place: Place) -> dict:
    def stop(_):
        with _between_steps(3, comfy.model_management.interrupt_current_processing):
            try:
                _run()
            except comfy.model_management.InterruptProcessingException:
                return
            finally:
                comfy.model_management.interrupt_current_processing(False)
        raise Wrong("Cancel did not stop it")

    return _goes_on(stop, 3)


def _killed(place: Place) -> dict:
    def stop(folder):
        # A process that has used CUDA cannot be forked; one that has not need not start anew.
        context = multiprocessing.get_context("fork" if place.device == "cpu" else "spawn")
        process = context.Process(target=killed.run, args=(folder, place.device))
        process.start()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise Wrong(f"the process to be killed ended with code {process.exitcode}")

    return _goes_on(stop, STOPPED // SAVED * SAVED)


def _previews(place: Place) -> dict:
    if "preview_every" not in {field.name for field in dataclasses.fields(Settings)}:
        raise NotHere("this version has no previews")
    import styo.bridge.training_preview as module

    drawn = []
    previewed = module.TrainingPreview.__call__

    def counted(*args, **kwargs):
        drawn.append(previewed(*args, **kwargs))
        return drawn[-1]

    with temporary_output(), mock.patch.object(module.TrainingPreview, "__call__", counted):
        with_previews = _run(preview_every=2, **FEW)[0]
    with temporary_output():
        without = _run(**FEW)[0]
    return {**_alike(with_previews, without, bool(drawn)), "drawn": len(drawn)}
