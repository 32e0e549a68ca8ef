"""All of the demo model's training, from pictures to the weights file; goes on where it was stopped."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from comfy.model_sampling import ModelSamplingDiscrete
from PIL import Image

from ...bridge.unet_copy import autocast
from ..autoencoder import taesd_weights, thin_autoencoder
from ..weights import Weights
from . import parallel
from .autoencoder import to_tensor, train_autoencoder
from .denoiser import train_denoiser
from .fit import SEED, precision
from .pictures import rendered

ENCODE_BATCH = 32
SHOWN = 16


def make_demo_model(
    folder: Path,
    pictures: int,
    autoencoder_steps: int,
    denoiser_steps: int,
    workers: int,
    device: str,
    path: Path,
    start: Path | None = None,
):
    """Render, train the VAE, train UNet and text encoder, and write ``path``; what is done lies in ``folder``.

    With the weights file ``start``, its VAE is kept, and UNet and text encoder are trained on from what they are there.
    """
    with parallel.first_alone():
        seen, codes = rendered(folder / "pictures", pictures, workers)
    started = Weights.load(start) if start else None
    if started:
        vae, made_by = thin_autoencoder(started.vae).to(device), f"start_{_digest(start)}"
    else:
        vae = train_autoencoder(
            seen, autoencoder_steps, folder, device, lambda average, _: _show(average, seen, folder)
        )
        made_by = f"{autoencoder_steps}_autoencoder_steps"
    folder = folder / f"{pictures}_pictures_{made_by}"
    folder.mkdir(exist_ok=True)
    latents = _latents(vae, seen, folder, device)
    sigmas = ModelSamplingDiscrete().sigmas

    def write(average, captions, step: int):
        words = dict(zip(captions.words, average.words.weight.detach().cpu(), strict=True))
        facts = {"pictures": str(pictures), "made_by": made_by, "denoiser_steps": str(step), "seed": str(SEED)}
        parts = Weights(average.unet.state_dict(), average.text.state_dict(), taesd_weights(vae), words)
        parts.save(path, facts)

    train_denoiser(latents, torch.from_numpy(codes), sigmas, denoiser_steps, folder, device, write, started)


def _digest(file: Path) -> str:
    """The first digits of a file's SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:10]


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
