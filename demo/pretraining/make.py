"""All of the demo model's training, from nothing to the weights file; goes on where it was stopped."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path

import torch
from comfy.model_sampling import ModelSamplingDiscrete
from PIL import Image

from ..autoencoder import Autoencoder
from ..weights import Weights, digest
from . import parallel
from .autoencoder import solved_autoencoder, to_input, train_autoencoder
from .captions import Captions
from .denoiser import EXAMPLES, Denoiser, Pool, portraits_for, train_denoiser
from .fit import SEED, on_accelerator
from .pictures import Stream, drawn_codes
from .text_encoder import TextEncoder, train_text_encoder

SHOWN = 16
TOLD = 40_000
"""Portraits that the text encoder's captions tell of; nobody draws them."""
HIGH_NOISE = 0.7
"""The UNet is first trained on timesteps from this share of the schedule on."""
AUTOENCODER_SEED, DENOISER_SEED = SEED, SEED + 1
"""Of the pictures that the VAE and the UNet are trained on."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much there is to train: pictures for the VAE, steps of the text encoder, latents for the UNet."""

    autoencoder_pictures: int
    text_encoder_steps: int
    high_noise_latents: int
    denoiser_latents: int


def make_demo_model(
    folder: Path,
    plan: Plan,
    workers: int,
    prepare: Callable[[], None] | None,
    device: str,
    path: Path,
    start: Path | None = None,
):
    """Train VAE, text encoder and UNet, and at the end write ``path``; what is done lies in ``folder``.

    There every part is kept by the settings it came from, and the weights as far as they are. ``workers`` processes
    render, and begin with ``prepare``. With the weights file ``start``, its VAE is kept, and its text encoder and UNet
    are trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    captions = Captions.make()
    if start:
        weights, made_by = Weights.load(start), f"start_{digest(start)[:10]}"
        vae = Autoencoder()
        vae.load_state_dict(weights.vae)
        vae.to(device)
    else:
        made_by = "nothing"
        vae = _autoencoder(folder, plan.autoencoder_pictures, workers, prepare, device)
    folder = folder / made_by
    folder.mkdir(exist_ok=True)
    codes = drawn_codes(TOLD if plan.text_encoder_steps else EXAMPLES, SEED)
    encoder = TextEncoder.of(weights, captions) if start else TextEncoder.first(captions)
    so_far = f"{plan.text_encoder_steps}_text_encoder_steps"
    if plan.text_encoder_steps:
        encoder = train_text_encoder(encoder, captions, codes, plan.text_encoder_steps, folder / f"{so_far}.pt", device)
    denoiser = Denoiser.of(weights, encoder) if start else Denoiser.first(encoder, captions, codes)

    facts = {"made_by": made_by, "seed": str(SEED)}

    def write(trained: Denoiser, path: Path):
        words = dict(zip(captions.words, trained.encoder.words.weight.detach().cpu(), strict=True))
        parts = Weights(trained.unet.state_dict(), trained.encoder.text.state_dict(), vae.state_dict(), words)
        parts.save(path, facts)

    phases = (
        ("high_noise_latents", plan.high_noise_latents, HIGH_NOISE),
        ("denoiser_latents", plan.denoiser_latents, 0.0),
    )
    kept = folder / f"pool_{parallel.rank()}.pt"
    most = max(latents for _, latents, _ in phases)
    pool = _pool(kept, min(most, portraits_for(most, device)), device)

    def keep(average: Denoiser, phase: str, step: int):
        facts[phase] = str(step)
        write(average, folder / "so_far.safetensors")
        if not on_accelerator(device):
            _save_pool(pool, kept)

    sigmas = ModelSamplingDiscrete().sigmas
    with Stream(DENOISER_SEED, workers, prepare) as stream:
        fill = functools.partial(pool.fill, stream=stream, encode=functools.partial(_encoded, vae, device))
        for phase, latents, least_noise in phases:
            so_far += f"_{latents}_{phase}"
            if latents:
                report = functools.partial(lambda average, step, phase: keep(average, phase, step), phase=phase)
                state = folder / f"{so_far}.pt"
                denoiser = train_denoiser(
                    denoiser, captions, pool, fill, sigmas, least_noise, latents, state, device, report
                )
                facts[phase] = str(latents)
    if parallel.rank() == 0:
        write(denoiser, path)


def _autoencoder(folder: Path, pictures: int, workers: int, prepare, device: str) -> Autoencoder:
    encoder, state = folder / "encoder.pt", folder / f"autoencoder_{pictures}_pictures.pt"
    with Stream(AUTOENCODER_SEED, workers, prepare) as stream:
        shown = stream.at(0, SHOWN).pictures
        with parallel.first_alone():
            if not encoder.is_file():
                _save(solved_autoencoder(stream).state_dict(), encoder)
        autoencoder = Autoencoder()
        autoencoder.load_state_dict(torch.load(encoder, weights_only=True))
        report = lambda average, _: _show(average, shown, folder / "autoencoder.png")  # noqa: E731
        return train_autoencoder(autoencoder, stream, pictures, state, device, report)


def _encoded(vae: Autoencoder, device: str, pictures: torch.Tensor) -> torch.Tensor:
    """The latents [N, channels, h, w] of pictures in the UNet's scale."""
    return vae.encode(to_input(pictures, device))


def _pool(path: Path, count: int, device: str) -> Pool:
    """The pool that a stopped training has left, with room for ``count``; beside an accelerator it is filled anew."""
    pool = Pool.of(count, device)
    if path.is_file():
        parts = torch.load(path, weights_only=True)
        pool.filled = min(len(parts["codes"]), count)
        for name, part in parts.items():
            getattr(pool, name)[: pool.filled] = part[: pool.filled]
    return pool


def _save_pool(pool: Pool, path: Path):
    filled = slice(pool.filled)
    parts = {"latents": pool.latents[filled], "codes": pool.codes[filled], "masks": pool.masks[filled]}
    _save({name: part.cpu().clone() for name, part in parts.items()}, path)


def _save(parts: dict[str, torch.Tensor], path: Path):
    partial = path.with_suffix(".partial")
    torch.save(parts, partial)
    os.replace(partial, path)


@torch.no_grad()
def _show(autoencoder: Autoencoder, pictures: torch.Tensor, path: Path):
    """Pictures above what the autoencoder makes of them."""
    x = to_input(pictures, next(autoencoder.parameters()).device)
    y = autoencoder.decode(autoencoder.encode(x)).clamp(0, 1)
    rows = torch.stack([x, y]).cpu().movedim(2, -1)
    sheet = (rows * 255).round().byte().permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)
    Image.fromarray(sheet.numpy()).save(path)
