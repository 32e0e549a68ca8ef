"""The passes of StyO's graph, run in process through ComfyUI's KSampler and the pack's own nodes."""

import tiny
import torch
from styo.nodes.attention import StyOAttentionCapture, StyOAttentionInject, StyOSourceAttention
from styo.nodes.prompts import StyOEncodePrompts
from styo.training.prompts import Prompts

import nodes


def empty_latent(batch=1, height=8, width=8):
    return {"samples": torch.zeros(batch, 4, height, width)}


def photo(batch=1, height=8, width=8):
    """The LATENT of an encoded photo."""
    return {"samples": torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(7))}


def sample(model, positive, negative, latent, sampler="euler", scheduler="normal", cfg=7.5, seed=5, steps=4):
    """KSampler's LATENT."""
    return nodes.common_ksampler(model, seed, steps, cfg, sampler, scheduler, positive, negative, latent)[0]


def capture(model, latent):
    """(MODEL, LATENT) of StyO Attention Capture."""
    return StyOAttentionCapture.execute(model, latent).args


def inject(model, source, strength=1.0, start_percent=0.0, end_percent=1.0):
    """MODEL of StyO Attention Inject."""
    return StyOAttentionInject.execute(model, source, strength, start_percent, end_percent)[0]


def source_attention(model, source, latent, seed=3, strength=1.0, start_percent=0.0, end_percent=1.0):
    """MODEL of StyO Source Attention."""
    return StyOSourceAttention.execute(model, source, latent, seed, strength, start_percent, end_percent)[0]


class Graph:
    """A tiny MODEL and CLIP, the encoded prompts, and the passes over them."""

    def __init__(self, prompts=None, layout="sd1", **model):
        self.model = tiny.make_model(layout=layout, **model)
        self.clip = tiny.make_clip(family=tiny.LAYOUTS[layout][0])
        encoded = StyOEncodePrompts.execute(self.clip, prompts or Prompts()).args
        self.source, self.target, self.auxiliary, self.stylized = encoded
        self.negative = self.clip.encode_from_tokens_scheduled(self.clip.tokenize("blurry"))

    def plain(self, positive, model=None, latent=None, **sampling):
        return sample(model or self.model, positive, self.negative, latent or empty_latent(), **sampling)

    def source_pass(self, model=None, latent=None, **sampling):
        captured, started = capture(model or self.model, latent or empty_latent())
        return sample(captured, self.source, self.negative, started, **sampling)

    def stylize(self, source, model=None, latent=None, strength=1.0, start_percent=0.0, end_percent=1.0, **sampling):
        injected = inject(model or self.model, source, strength, start_percent, end_percent)
        return sample(injected, self.stylized, self.negative, latent or empty_latent(), **sampling)
