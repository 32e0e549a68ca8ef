"""The Identifier Disentanglement Learner on ComfyUI's MODEL, CLIP and VAE: from inputs to a trained weights file."""

from __future__ import annotations

import contextlib
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
from .model_checks import require_sd15, require_sd15_clip
from .output_files import OutputFiles
from .progress import TrainingProgress, show_text
from .result import Result
from .saves import Saves
from .training_inputs import Inputs, fingerprint_of
from .training_preview import TrainingPreview, encode_shown_prompts


def learn(inputs: Inputs, filename_prefix: str, node_id: str | None) -> Result:
    """Train as the paper's section 3.2 says: anew, from where an earlier run stopped, or not at all if it is finished.

    Raises ValueError for inputs that cannot be trained on, and NonFiniteLoss.
    """
    require_sd15(inputs.model)
    require_sd15_clip(inputs.clip)
    inputs.vae.throw_exception_if_invalid()
    sigmas = unet_copy.training_sigmas(inputs.model)
    pixels, tokens = inputs.pixels(), inputs.tokens()
    fingerprint = fingerprint_of(inputs, sigmas, pixels, tokens)
    files = OutputFiles(filename_prefix, fingerprint)
    if finished := files.finished(inputs.settings.steps):
        logging.info("StyO: this training is already finished: using %s.", finished)
        return Result.read(finished)
    if "auxiliary_images" not in pixels:
        logging.warning("StyO: no auxiliary_images: training without the auxiliary term of equation 4.")

    show_text(f"encoding {sum(map(len, pixels.values()))} images", node_id)
    terms = encode(inputs, pixels, tokens)
    shown = encode_shown_prompts(inputs) if inputs.settings.preview_every else []
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return _train(inputs, terms, shown, sigmas, files, fingerprint, node_id)
    except torch.OutOfMemoryError:
        raise RuntimeError(f"StyO ran out of memory: {advice(inputs.settings)}.") from None
    finally:
        gc.collect()
        comfy.model_management.soft_empty_cache()


def _train(
    inputs: Inputs,
    terms: Sequence[EncodedTerm],
    shown: Sequence[EncodedPrompt],
    sigmas: torch.Tensor,
    files: OutputFiles,
    fingerprint: str,
    node_id: str | None,
) -> Result:
    settings = inputs.settings
    device = comfy.model_management.get_torch_device()
    if settings.precision == "bf16" and not comfy.model_management.should_use_bf16(device):
        logging.warning("StyO: %s has no fast bf16: another precision may be the better choice.", device)
    learner = Learner(inputs, terms, sigmas, device)
    saves_on_the_way = (settings.steps - 1) // settings.save_every if settings.save_every else 0
    shapes = [parameter.shape for parameter in learner.trained.values()]
    files.require_space(learner.saved, state_bytes(settings.optimizer, shapes), saves_on_the_way)
    optimizer = BackwardOptimizer(
        learner.groups, settings.step_size, scale_loss=settings.precision == "fp16", kind=settings.optimizer
    )
    history = LossHistory(settings.steps, [term.name for term in terms], device)
    training = Training(learner, optimizer, history)
    resume.load_state(files.state, training, settings.steps)
    saves = Saves(inputs, files, fingerprint, training)
    preview = TrainingPreview(inputs, learner, shown, terms[0].latents.shape[2:])
    progress = TrainingProgress(settings.steps, history.step, node_id, preview, settings.preview_every)
    try:
        with contextlib.closing(progress), saves.on_the_way_out():
            for step in training.until(settings.steps):
                saves.after(step)
                progress(history)
    except comfy.model_management.InterruptProcessingException:
        progress.cancelled(saves.resumable_at)
        raise
    except NonFiniteLoss as stopped:
        raise NonFiniteLoss(
            f"{stopped}: choose a lower learning_rate than {settings.step_size} or precision fp32 instead of "
            f"{settings.precision}; the weights from before are saved at filename_prefix."
        ) from None
    return saves.finish()
