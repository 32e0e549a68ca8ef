"""The passes of StyO, through the pack's own nodes and ComfyUI's KSampler."""

from __future__ import annotations

import torch
from styo.nodes.attention import StyOAttentionCapture, StyOAttentionInject, StyOSourceAttention

import nodes

SOURCE_SEED = 0
"""Of the noise on the photo, in a source pass or as StyO Source Attention reads it; a stylization's is its own."""


class Passes:
    """The passes over a MODEL: every method returns a LATENT, a captured one with its maps.

    ``source``, ``stylized`` and ``negative`` are CONDITIONINGs, ``empty`` the LATENT of no picture, ``sampling`` the
    steps, cfg, sampler and scheduler.
    """

    def __init__(self, model, source: list, stylized: list, negative: list, empty: dict, sampling: tuple):
        self.model, self.source, self.stylized, self.negative = model, source, stylized, negative
        self.empty, self.sampling = empty, sampling

    @torch.inference_mode()
    def sample(self, model, positive: list, latent: dict, seed: int, cfg: float | None = None, **how) -> dict:
        """What KSampler makes of ``latent``; ``how`` is its denoise, and its advanced sibling's disable_noise."""
        steps, own_cfg, *names = self.sampling
        cfg = own_cfg if cfg is None else cfg
        return nodes.common_ksampler(model, seed, steps, cfg, *names, positive, self.negative, latent, **how)[0]

    @torch.inference_mode()
    def captured(self, positive: list, latent: dict, seed: int, **how) -> dict:
        """A pass under StyO Attention Capture: its LATENT brings its maps along."""
        model, latent = StyOAttentionCapture.execute(self.model, latent).args
        return self.sample(model, positive, latent, seed, **how)

    @torch.inference_mode()
    def stylization(self, seed: int, source: dict | None = None) -> dict:
        """The stylization pass from the noise of ``seed``, with the maps of a captured ``source`` or free of them."""
        model = self.model
        if source:
            (model,) = StyOAttentionInject.execute(model, source, 1.0, 0.0, 1.0).args
        return self.sample(model, self.stylized, self.empty, seed)

    @torch.inference_mode()
    def source_attention(self, photo: dict, seed: int) -> dict:
        """The stylization pass under StyO Source Attention, which reads the photo at the noise of every evaluation."""
        (model,) = StyOSourceAttention.execute(self.model, self.source, photo, SOURCE_SEED, 1.0, 0.0, 1.0).args
        return self.sample(model, self.stylized, self.empty, seed)
