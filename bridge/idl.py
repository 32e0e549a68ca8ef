"""The Identifier Disentanglement Learner on ComfyUI's MODEL, CLIP and VAE: from inputs to a trained weights file."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
from collections.abc import Sequence

import comfy.model_management
import torch

from ..training import resume
from ..training.history import LossHistory, NonFiniteLoss
from ..training.loop import Training
from ..training.optimizer import BackwardOptimizer, state_bytes
from ..training.smaller import advice
from . import unet_copy
from .encoded import EncodedPrompt, EncodedTerm, encode
from .learner import Learner
from .model_kind import family_of, native_resolution, require_match
from .node_text import NodeText
from .output_files import OutputFiles
from .patched_weights import put_at_rest
from .progress import TrainingProgress
from .result import Result
from .saves import Saves, recall, saves_after
from .training_inputs import Inputs, fingerprint_of, shared_picture
from .training_preview import TrainingPreview, encode_shown_prompts
from .unseen_changes import require_weight_patches_only

MOST_BYTES = 4
"""Of a number in a weights file; most take half as many."""

LEAST_OF_NATIVE = 0.75
"""Part of a model's own resolution below which its pictures lose their composition."""


def learn(inputs: Inputs, filename_prefix: str, node_id: str | None) -> Result:
    """Train as the paper's section 3.2 says: anew, from where an earlier run stopped, or not at all if it is finished.

    Raises ValueError for inputs that cannot be trained on, and NonFiniteLoss.
    """
    with NodeText(node_id) as text:
        return _learn(inputs, filename_prefix, text)


def _learn(inputs: Inputs, filename_prefix: str, text: NodeText) -> Result:
    require_match(inputs.model, inputs.clip)
    inputs.vae.throw_exception_if_invalid()
    for socket, patcher in (("model", inputs.model), ("clip", inputs.clip.patcher)):
        require_weight_patches_only(socket, patcher)
        put_at_rest(patcher)
    sigmas = unet_copy.training_sigmas(inputs.model)
    inputs = _at_a_resolution(inputs)
    pixels, tokens = inputs.pixels(), inputs.tokens()
    fingerprint = fingerprint_of(inputs, sigmas, pixels, tokens)
    files = OutputFiles(filename_prefix, fingerprint, inputs.settings.steps)
    if finished := recall(files):
        text.show("already finished: its file is used")
        return finished
    if "auxiliary_images" not in pixels:
        logging.warning("StyO: no auxiliary_images: training without the auxiliary term of equation 4.")
    if shared_picture(pixels):
        logging.warning("StyO: source_image and target_image hold the same picture: connect the photo and the artwork.")

    text.show(f"encoding {sum(map(len, pixels.values()))} images")
    terms = encode(inputs, pixels, tokens)
    shown = encode_shown_prompts(inputs) if inputs.settings.preview_every else []
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return _train(inputs, terms, shown, sigmas, files, fingerprint, text)
    except Exception as error:
        comfy.model_management.raise_non_oom(error)
        raise RuntimeError(f"StyO ran out of memory: {advice(inputs.settings)}.") from None
    finally:
        gc.collect()
        comfy.model_management.soft_empty_cache()


def _at_a_resolution(inputs: Inputs) -> Inputs:
    """``inputs`` with the model's own resolution where the setting is 0; far below it a model draws badly."""
    native, wanted = native_resolution(inputs.model), inputs.settings.resolution
    if 0 < wanted < LEAST_OF_NATIVE * native:
        logging.warning(
            "StyO: resolution is %d, but %s models draw at %d pixels: 0 takes the model's own.",
            wanted,
            family_of(inputs.model).name,
            native,
        )
    settings = dataclasses.replace(inputs.settings, resolution=wanted or native)
    return dataclasses.replace(inputs, settings=settings)


def _train(
    inputs: Inputs,
    terms: Sequence[EncodedTerm],
    shown: Sequence[EncodedPrompt],
    sigmas: torch.Tensor,
    files: OutputFiles,
    fingerprint: str,
    text: NodeText,
) -> Result:
    settings = inputs.settings
    device = comfy.model_management.get_torch_device()
    if settings.precision == "bf16" and not comfy.model_management.should_use_bf16(device):
        logging.warning("StyO: %s has no fast bf16: another precision may be the better choice.", device)
    learner = Learner(inputs, terms, sigmas, device)
    scale_loss = settings.precision == "fp16"
    optimizer = BackwardOptimizer(
        learner.groups, settings.step_size, scale_loss=scale_loss, kind=settings.optimizer, rates=learner.rates
    )
    history = LossHistory(settings.steps, [term.name for term in terms], device)
    training = Training(learner, optimizer, history)
    resume.load_state(files.state, training, settings.steps)
    state = state_bytes(settings.optimizer, [parameter.shape for parameter in learner.trained.values()])
    files.require_space(MOST_BYTES * learner.saved, state, saves_after(history.step, settings))
    saves = Saves(inputs, files, fingerprint, training)
    preview = TrainingPreview(inputs, learner, shown, terms[0].latents.shape[2:])
    progress = TrainingProgress(settings.steps, history.step, text, preview, settings.preview_every)
    try:
        with contextlib.closing(progress), saves.on_the_way_out():
            for step in training.until(settings.steps):
                saves.after(step)
                progress(history)
    except comfy.model_management.InterruptProcessingException:
        progress.cancelled(saves.resumable_at)
        raise
    except NonFiniteLoss as stopped:
        finer = "" if settings.precision == "fp32" else f", or precision fp32 instead of {settings.precision}"
        kept = "could not be saved" if saves.path is None else f"are saved as {saves.path}"
        raise NonFiniteLoss(
            f"{stopped}: choose a lower learning_rate than {settings.step_size}{finer}. The weights from before {kept}."
        ) from None
    return saves.finish()
