"""The Identifier Disentanglement Learner on ComfyUI's MODEL, CLIP and VAE: from inputs to a trained weights file."""

from __future__ import annotations

import gc
import logging

import comfy.model_management
import torch

from ..training import resume, safetensors_file
from ..training.data import to_square
from ..training.loop import LossHistory, NonFiniteLoss, train
from ..training.smaller import advice
from . import unet_copy
from .learner import Encoded, Inputs, Learner, Result
from .model_checks import require_sd15, require_sd15_clip
from .output_files import OutputFiles
from .patched_weights import PatchedWeights
from .progress import TrainingProgress

IMAGES_PER_ENCODE = 4
LATENT_CHANNELS = 4


def learn(inputs: Inputs, filename_prefix: str, node_id: str | None) -> Result:
    """Train as the paper's section 3.2 says: anew, from where an earlier run stopped, or not at all if it is finished.

    Raises ValueError for inputs that cannot be trained on, and NonFiniteLoss.
    """
    require_sd15(inputs.model)
    require_sd15_clip(inputs.clip)
    inputs.vae.throw_exception_if_invalid()
    sigmas = unet_copy.training_sigmas(inputs.model)
    pixels = {name: _pixels(name, batches, inputs.settings.resolution) for name, batches in inputs.images.items()}
    tokens = [inputs.clip.tokenize(text) for text in inputs.texts()]
    fingerprint = _fingerprint(inputs, sigmas, pixels, tokens)
    files = OutputFiles(filename_prefix, fingerprint)
    if finished := files.finished(inputs.settings.steps):
        logging.info("StyO: this training is already finished: using %s.", finished)
        return Result(*safetensors_file.read(finished))
    if "auxiliary_images" not in pixels:
        logging.warning("StyO: no auxiliary_images: training without the auxiliary term of equation 4.")

    latents = [_latents(inputs, batch) for batch in pixels.values()]
    contexts = [_context(inputs.clip, prompt_tokens) for prompt_tokens in tokens]
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return _train(inputs, Encoded(latents, tokens, contexts, sigmas), files, fingerprint, node_id)
    except torch.OutOfMemoryError:
        raise RuntimeError(f"StyO ran out of memory: {advice(inputs.settings)}.") from None
    finally:
        gc.collect()
        comfy.model_management.soft_empty_cache()


def _train(inputs: Inputs, encoded: Encoded, files: OutputFiles, fingerprint: str, node_id: str | None) -> Result:
    settings = inputs.settings
    device = comfy.model_management.get_torch_device()
    if settings.precision == "bf16" and not comfy.model_management.should_use_bf16(device):
        logging.warning("StyO: %s has no fast bf16: another precision may be the better choice.", device)
    learner = Learner(inputs, encoded)
    saves = (settings.steps - 1) // settings.save_every if settings.save_every else 0
    files.require_space(learner.saved, saves)
    optimizer = learner.to(device)
    losses = resume.load_state(files.state, optimizer, learner.generator, settings.steps)
    history = LossHistory(settings.steps, device, losses)

    def save(resumable: bool):
        history.settle()
        if resumable:
            resume.save_state(files.state, optimizer, learner.generator, history.known())
        _write(learner.result(history.known(), fingerprint), files.new_path(history.step))

    progress = TrainingProgress(settings.steps, history.step, node_id)
    try:
        train(learner.loss_of_a_draw, optimizer, history, settings.steps, settings.save_every, save, progress)
    except NonFiniteLoss as stopped:
        raise NonFiniteLoss(
            f"{stopped}: choose a lower learning_rate than {settings.step_size} or precision fp32 instead of "
            f"{settings.precision}; the weights from before are saved at filename_prefix."
        ) from None
    finally:
        progress.close()
    result = learner.result(history.known(), fingerprint)
    _write(result, files.new_path())
    files.remove_state()
    return result


def _write(result: Result, path):
    safetensors_file.write(path, result.weights, result.metadata)
    logging.info("StyO: saved the weights after step %d as %s.", len(result.losses), path)


def _pixels(name: str, batches: list[torch.Tensor], resolution: int) -> torch.Tensor:
    """Every image of a socket as [n, resolution, resolution, 3]; raises ValueError, naming the socket."""
    squares = []
    for batch in batches:
        shape = tuple(batch.shape)
        if len(shape) != 4 or shape[-1] not in (1, 3, 4) or 0 in shape:
            raise ValueError(f"{name} has the shape {shape}: connect an IMAGE [images, height, width, channels].")
        if not torch.isfinite(batch).all():
            raise ValueError(f"{name} holds pixels that are nan or infinite: check the node that makes it.")
        squares += [to_square(image.cpu(), resolution) for image in batch]
    return torch.stack(squares)


def _fingerprint(inputs: Inputs, sigmas: torch.Tensor, pixels: dict[str, torch.Tensor], tokens: list[dict]) -> str:
    """A digest of what decides the training: latents and text embeddings follow from what is taken in here."""
    fingerprint = resume.Fingerprint()
    fingerprint.add_settings([inputs.settings.deciding(), inputs.clip.layer_idx])
    fingerprint.add_tensor("sigmas", sigmas)
    for name, batch in pixels.items():
        fingerprint.add_tensor(name, batch)
    for token, weight, *_ in (entry for prompt in tokens for chunk in prompt["l"] for entry in chunk):
        if isinstance(token, torch.Tensor):
            fingerprint.add_tensor("embedding", token)
        else:
            fingerprint.add_settings([int(token), weight])
    for patcher in (inputs.model, inputs.clip.patcher, inputs.vae.patcher):
        fingerprint.add_weights(PatchedWeights(patcher).items())
    return fingerprint.hexdigest()


def _latents(inputs: Inputs, pixels: torch.Tensor) -> torch.Tensor:
    """z [n, 4, h, w] of images [n, H, W, 3], scaled as the UNet expects it."""
    with torch.inference_mode():
        encoded = torch.cat([inputs.vae.encode(part) for part in pixels.split(IMAGES_PER_ENCODE)])
        if encoded.ndim != 4 or encoded.shape[1] != LATENT_CHANNELS:
            raise ValueError("`vae` is not that of a Stable Diffusion 1.x model: connect the one of its checkpoint.")
        z = inputs.model.model.process_latent_in(encoded)
    with torch.inference_mode(False):
        return z.float().clone()


def _context(clip, tokens: dict) -> torch.Tensor:
    """The text embedding of CLIPTextEncode, [1, 77 * chunks, channels]."""
    with torch.inference_mode():
        context = clip.encode_from_tokens(tokens)
    with torch.inference_mode(False):
        return context.float().clone()
