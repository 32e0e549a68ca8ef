"""All of the demo model's training, from pictures to the weights file; goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from comfy.model_sampling import ModelSamplingDiscrete
from PIL import Image

from ...bridge.unet_copy import autocast
from ..autoencoder import taesd_weights, thin_autoencoder
from ..weights import Weights, digest
from . import parallel
from .autoencoder import to_tensor, train_autoencoder
from .captions import Captions
from .denoiser import Denoiser, train_denoiser
from .fit import SEED, precision
from .pictures import rendered
from .text_encoder import TextEncoder, train_text_encoder

ENCODE_BATCH = 32
SHOWN = 16
HIGH_NOISE = 0.7
"""The UNet is first trained on timesteps from this share of the schedule on."""


def make_demo_model(
    folder: Path,
    pictures: int,
    autoencoder_steps: int,
    text_encoder_steps: int,
    high_noise_steps: int,
    denoiser_steps: int,
    workers: int,
    prepare: Callable[[], None] | None,
    device: str,
    path: Path,
    start: Path | None = None,
):
    """Render, train VAE, text encoder and UNet, and at the end write ``path``; what is done lies in ``folder``.

    There every part is kept by the settings it came from, and the weights as far as they are. Processes that render
    begin with ``prepare``. With the weights file ``start``, its VAE is kept, and its text encoder and UNet are trained
    on.
    """
    with parallel.first_alone():
        seen, codes = rendered(folder / "pictures", pictures, workers, prepare)
    codes = torch.from_numpy(codes)
    captions = Captions.make()
    if start:
        weights, made_by = Weights.load(start), f"start_{digest(start)[:10]}"
        vae = thin_autoencoder(weights.vae).to(device)
    else:
        made_by = f"{autoencoder_steps}_autoencoder_steps"
        state = folder / f"autoencoder_{pictures}_pictures_{autoencoder_steps}_steps.pt"
        vae = train_autoencoder(seen, autoencoder_steps, state, device, lambda average, _: _show(average, seen, folder))
    folder = folder / f"{pictures}_pictures_{made_by}"
    folder.mkdir(exist_ok=True)
    latents = _latents(vae, seen, folder, device)
    encoder = TextEncoder.of(weights, captions) if start else TextEncoder.first(captions)
    so_far = f"{text_encoder_steps}_text_encoder_steps"
    if text_encoder_steps:
        encoder = train_text_encoder(encoder, captions, codes, text_encoder_steps, folder / f"{so_far}.pt", device)
    denoiser = Denoiser.of(weights, encoder) if start else Denoiser.first(encoder, captions, codes)

    facts = {"pictures": str(pictures), "made_by": made_by, "seed": str(SEED)}

    def write(trained: Denoiser, path: Path):
        words = dict(zip(captions.words, trained.encoder.words.weight.detach().cpu(), strict=True))
        parts = Weights(trained.unet.state_dict(), trained.encoder.text.state_dict(), taesd_weights(vae), words)
        parts.save(path, facts)

    def keep(average: Denoiser, phase: str, step: int):
        facts[phase] = str(step)
        write(average, folder / "so_far.safetensors")

    sigmas = ModelSamplingDiscrete().sigmas
    phases = ("high_noise_steps", high_noise_steps, HIGH_NOISE), ("denoiser_steps", denoiser_steps, 0.0)
    for phase, steps, least_noise in phases:
        so_far += f"_{steps}_{phase}"
        if steps:
            denoiser = train_denoiser(
                denoiser,
                captions,
                latents,
                codes,
                sigmas,
                least_noise,
                steps,
                folder / f"{so_far}.pt",
                device,
                lambda average, step, phase=phase: keep(average, phase, step),
            )
            facts[phase] = str(steps)
    if parallel.rank() == 0:
        write(denoiser, path)


@torch.no_grad()
def _latents(vae, seen: np.ndarray, folder: Path, device: str) -> torch.Tensor:
    """The latents [N, 4, h, w] of all pictures in the UNet's scale, kept in ``folder``; each process makes a part."""
    files = [folder / f"latents_{part}_of_{parallel.processes()}.pt" for part in range(parallel.processes())]
    own = files[parallel.rank()]
    if not own.is_file():
        share, parts = np.array_split(seen, len(files))[parallel.rank()], []
        for start in range(0, len(share), ENCODE_BATCH):
            with autocast(torch.device(device), precision(device)):
                parts.append(vae.encode(to_tensor(share[start : start + ENCODE_BATCH]).to(device)).float().cpu())
        torch.save(torch.cat(parts), own)
    parallel.wait()
    return torch.cat([torch.load(file, weights_only=True) for file in files])


@torch.no_grad()
def _show(autoencoder, seen: np.ndarray, folder: Path):
    """Pictures above what the autoencoder makes of them."""
    x = to_tensor(seen[:SHOWN]).to(next(autoencoder.parameters()).device)
    y = autoencoder.decode(autoencoder.encode(x)).clamp(0, 1)
    rows = torch.stack([x, y]).cpu().movedim(2, -1)
    sheet = (rows * 255).round().byte().permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)
    Image.fromarray(sheet.numpy()).save(folder / "autoencoder.png")
