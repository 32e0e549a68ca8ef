"""Training the demo model's UNet and text encoder together: noise prediction on latents of captioned portraits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.sd1_clip import SD1ClipModel

from ...bridge.text_encoder_copy import DifferentiableLayer, PlainTextLayers
from ...bridge.unet_copy import PlainLayers, autocast
from ...styo_attention.columns import split_heads
from ...training.losses import add_noise
from ..shapes import CHANNELS, CLIP, UNET
from ..weights import Weights
from ..words import CODE_SCALE
from . import parallel
from .captions import Captions
from .fit import fit, precision, seeded

BATCH = 48
LEARNING_RATE = 2e-3


def initialize(module: torch.nn.Module):
    """Kaiming's uniform start for matrices, 1 for gains, 0 for offsets; ComfyUI's layers come without values."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_uniform_(parameter, a=math.sqrt(5))
        else:
            torch.nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)


class Denoiser(torch.nn.Module):
    """The UNet, CLIP's text model without its table of tokens, and a table of the caption's own ``words``."""

    def __init__(self, words: int):
        super().__init__()
        self.words = torch.nn.Embedding(words, CHANNELS)
        self.unet = UNetModel(**UNET, dtype=torch.float32, operations=PlainLayers)
        options = {"clip_l_model_config": CLIP, "custom_operations": PlainTextLayers}
        self.text = SD1ClipModel(dtype=torch.float32, model_options=options).clip_l.transformer.text_model
        del self.text.embeddings.token_embedding
        initialize(self)
        for layer in self.text.encoder.layers:
            layer.__class__ = DifferentiableLayer
        for embedding in (self.words, self.text.embeddings.position_embedding):
            torch.nn.init.normal_(embedding.weight, std=CODE_SCALE / 2)
        for name, parameter in self.unet.named_parameters():
            if name.endswith(("out_layers.3.weight", "proj_out.weight", "out.2.weight")):
                torch.nn.init.zeros_(parameter)
        self.requires_grad_(True)

    @torch.no_grad()
    def take(self, weights: Weights, captions: Captions):
        """Take over the weights of a file that was made with these captions."""
        self.unet.load_state_dict(weights.unet)
        self.text.load_state_dict(weights.text)
        self.words.weight.copy_(torch.stack([weights.words[word] for word in captions.words]))

    def context(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The text embedding [N, tokens, channels] that ComfyUI's CLIP gives for token ``embeddings`` of that shape."""
        return self.text(embeds=embeddings, num_tokens=[1] * len(embeddings))[0]

    def eps_theta(self, z_t: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """The noise [N, 4, h, w] predicted for latents ``z_t`` at timesteps ``t`` [N] under text embeddings ``c``."""
        with autocast(z_t.device, precision(z_t.device)):
            return self.unet(z_t, t.float(), context=c, transformer_options=ATTENTION).float()


def attention(_, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args, **kwargs):
    """Attention [N, tokens, heads * d]; forms its maps where torch's fused kernel has the slower backward pass."""
    q, k, v = (split_heads(x, heads) for x in (q, k, v))
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        attended = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1) @ v
    else:
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return attended.transpose(1, 2).flatten(2)


ATTENTION = {"optimized_attention_override": attention}


def train_denoiser(
    latents: torch.Tensor,
    codes: torch.Tensor,
    sigmas: torch.Tensor,
    steps: int,
    folder: Path,
    device: str,
    report: Callable[[Denoiser, Captions, int], None],
    start: Weights | None = None,
) -> Denoiser:
    """A denoiser of ``latents`` [N, 4, h, w] of portraits with ``codes`` [N, parameters], at ``sigmas`` [T].

    The error of the noise is weighted as that of v (arXiv 2202.00512, section 4): evenly weighted, the steps at high
    noise would hardly count, and it is there that words have to decide about pose and colours.
    ``report(average, captions, step)`` runs at every save. It begins with the ``start`` weights if they are given.
    """
    captions = Captions.make()
    with seeded():
        denoiser = Denoiser(len(captions.words))
    if start:
        denoiser.take(start, captions)
    denoiser.to(device)
    sigmas = sigmas.to(device)

    batch = BATCH // parallel.processes()

    def loss_of(generator: torch.Generator) -> torch.Tensor:
        picks = torch.randint(len(latents), (batch,), generator=generator)
        embeddings = captions.embed(captions.draw(batch, generator), codes[picks], denoiser.words, generator)
        z, eps = latents[picks].to(device), torch.randn((batch, *latents.shape[1:]), generator=generator).to(device)
        spread = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        t = (spread * len(sigmas)).long().clamp(max=len(sigmas) - 1).to(device)
        prediction = denoiser.eps_theta(add_noise(z, eps, sigmas[t]), t, denoiser.context(embeddings))
        weight = 1 + sigmas[t] ** 2
        return (weight * ((eps - prediction) ** 2).mean((1, 2, 3))).mean()

    def save(average: Denoiser, step: int):
        report(average, captions, step)

    return fit(denoiser, loss_of, steps, LEARNING_RATE, folder / "denoiser.pt", save)
