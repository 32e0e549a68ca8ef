"""All of the demo model's training, from pictures to the weights file; goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from comfy.model_sampling import ModelSamplingDiscrete
from PIL import Image

from .. import weights
from ..autoencoder import taesd_weights
from .autoencoder import to_tensor, train_autoencoder
from .denoiser import train_denoiser
from .pictures import rendered

ENCODE_BATCH = 32
SHOWN = 16


def make_demo_model(
    folder: Path, pictures: int, autoencoder_steps: int, denoiser_steps: int, workers: int, device: str, path: Path
):
    """Render, train the VAE, train UNet and text encoder, and write ``path``; what is done lies in ``folder``."""
    seen, codes = rendered(folder / "pictures", pictures, workers)
    vae = train_autoencoder(seen, autoencoder_steps, folder, device, lambda average, _: _show(average, seen, folder))
    folder = folder / f"{pictures}_pictures_{autoencoder_steps}_autoencoder_steps"
    folder.mkdir(exist_ok=True)
    latents = _latents(vae, seen, folder / "latents.pt", device)
    sigmas = ModelSamplingDiscrete().sigmas

    def write(average, captions, step: int):
        words = dict(zip(captions.words, average.words.weight.detach().cpu(), strict=True))
        facts = {"pictures": str(pictures), "autoencoder_steps": str(autoencoder_steps), "denoiser_steps": str(step)}
        weights.save(average.unet.state_dict(), average.text.state_dict(), taesd_weights(vae), words, path, facts)

    train_denoiser(latents, torch.from_numpy(codes), sigmas, denoiser_steps, folder, device, write)


@torch.no_grad()
def _latents(vae, seen: np.ndarray, file: Path, device: str) -> torch.Tensor:
    """The latents [N, 4, h, w] of all pictures in the UNet's scale, kept in ``file``."""
    if not file.is_file():
        parts = []
        for start in range(0, len(seen), ENCODE_BATCH):
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                z = vae.encode(to_tensor(seen[start : start + ENCODE_BATCH]).to(device))
            parts.append(z.float().cpu())
        torch.save(torch.cat(parts), file)
    return torch.load(file, weights_only=True)


@torch.no_grad()
def _show(autoencoder, seen: np.ndarray, folder: Path):
    """Pictures above what the autoencoder makes of them."""
    x = to_tensor(seen[:SHOWN]).to(next(autoencoder.parameters()).device)
    y = autoencoder.decode(autoencoder.encode(x)).clamp(0, 1)
    rows = torch.stack([x, y]).cpu().movedim(2, -1)
    sheet = (rows * 255).round().byte().permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)
    Image.fromarray(sheet.numpy()).save(folder / "autoencoder.png")
