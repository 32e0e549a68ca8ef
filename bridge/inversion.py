"""Inverting a source latent with ComfyUI's own sampling machinery around it."""

from __future__ import annotations

import logging

import comfy.sample
import comfy.samplers
import latent_preview
import torch

from ..styo_attention.inversion import invert_ddim

CONVERGED = 1e-3
"""Relative change of the last fixed-point iteration above which a person should know."""


def invert_source(model, source: list, latent: torch.Tensor, steps: int, scheduler: str, iterations: int):
    """The noise [B, 4, H, W] from which DDIM under ``source``, at cfg 1 and without added noise, gives ``latent``.

    Raises ValueError where ComfyUI's type of intermediate values cannot hold it.
    """
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps).flip(0)

    def invert(denoise, x, sigmas, extra_args=None, callback=None, disable=None):
        noise, residual = invert_ddim(
            lambda x, sigma: denoise(x, sigma, **extra_args),
            x,
            sigmas,
            iterations,
            lambda step, denoised, x: callback({"i": step, "denoised": denoised, "x": x}),
        )
        if not residual <= CONVERGED:
            logging.warning(
                "StyO: the inversion has not converged (last change %.1e): raise `iterations` or `steps`.", residual
            )
        return noise

    noise = comfy.sample.sample_custom(
        model,
        torch.zeros_like(latent),
        1.0,
        comfy.samplers.KSAMPLER(invert),
        sigmas,
        source,
        source,
        latent,
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
    )
    if noise.isinf().any():
        raise ValueError(
            "StyO Invert Source: the noise of this `model` and `scheduler` is too large for 16-bit numbers: start "
            "ComfyUI without --fp16-intermediates."
        )
    return noise
