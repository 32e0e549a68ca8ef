"""The demo model's text encoder, and its first training: what a caption says stands in the columns of its identifiers.

Trained only through the UNet, it never learns which of a caption's words tells the content: a picture's style is all
that a hundred thousand pictures teach it. Reading the codes out of its embeddings is learned in minutes, and leaves the
UNet with columns that mean what StyO takes them for.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from comfy.sd1_clip import SD1ClipModel

from ...bridge.text_encoder_copy import DifferentiableLayer, PlainTextLayers
from ..portraits.content import Content
from ..portraits.parameters import goes_round
from ..portraits.style import Style
from ..shapes import CHANNELS, CLIP
from ..weights import Weights
from ..words import CODE_SCALE, CONTENT
from . import parallel
from .captions import Captions
from .fit import fit, seeded

BATCH = 96
LEARNING_RATE = 2e-3
SILENCE = 10.0
"""Weight of the error where nothing is to be read: most of a caption's 77 columns."""
HUES = [i for i, name in enumerate(Style.FIELDS + Content.FIELDS) if goes_round(name)]
"""The parameters of a code that go round in a circle."""


def initialize(module: torch.nn.Module):
    """Kaiming's uniform start for matrices, 1 for gains, 0 for offsets; ComfyUI's layers come without values."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_uniform_(parameter, a=math.sqrt(5))
        else:
            torch.nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)


class TextEncoder(torch.nn.Module):
    """CLIP's text model without its table of tokens, and a table of the captions' own ``words``."""

    def __init__(self, words: int):
        super().__init__()
        self.words = torch.nn.Embedding(words, CHANNELS)
        options = {"clip_l_model_config": CLIP, "custom_operations": PlainTextLayers}
        self.text = SD1ClipModel(dtype=torch.float32, model_options=options).clip_l.transformer.text_model
        del self.text.embeddings.token_embedding
        initialize(self)
        for layer in self.text.encoder.layers:
            layer.__class__ = DifferentiableLayer
        for embedding in (self.words, self.text.embeddings.position_embedding):
            torch.nn.init.normal_(embedding.weight, std=CODE_SCALE / 2)
        self.requires_grad_(True)

    @classmethod
    def first(cls, captions: Captions) -> TextEncoder:
        """One to train from nothing."""
        with seeded():
            return cls(len(captions.words))

    @classmethod
    def of(cls, weights: Weights, captions: Captions) -> TextEncoder:
        """That of a weights file which was made with these captions."""
        encoder = cls(len(captions.words))
        encoder.text.load_state_dict(weights.text)
        with torch.no_grad():
            encoder.words.weight.copy_(torch.stack([weights.words[word] for word in captions.words]))
        return encoder

    def context(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The text embedding [N, tokens, channels] that ComfyUI's CLIP gives for token ``embeddings`` of that shape."""
        return self.text(embeds=embeddings, num_tokens=[1] * len(embeddings))[0]


class Reading(torch.nn.Module):
    """A text encoder, and the linear map that reads codes, and hues as points of a circle, out of its columns."""

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.encoder = encoder
        self.readout = torch.nn.Linear(CHANNELS, CONTENT.stop + 2 * len(HUES))

    def error(self, captions: Captions, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mean squared error of what is read in captions of pictures with ``codes`` [N, parameters], and of silence."""
        device = self.readout.weight.device
        kinds = captions.draw(len(codes), generator)
        told = captions.told(kinds, codes).to(device)
        embeddings = captions.embed(kinds, codes, self.encoder.words, generator)
        angles = torch.pi * told[..., HUES]
        told = torch.cat([told, angles.sin(), angles.cos() * (angles != 0)], -1)
        errors = ((self.readout(self.encoder.context(embeddings)) - told) ** 2).mean(-1)
        speaks = told.any(-1)
        return errors[speaks].mean() + SILENCE * errors[~speaks].mean()


def train_text_encoder(
    encoder: TextEncoder, captions: Captions, codes: torch.Tensor, steps: int, state: Path, device: str
) -> TextEncoder:
    """An ``encoder`` trained on ``captions`` of pictures with ``codes`` [N, parameters]."""
    with seeded():
        reading = Reading(encoder).to(device)
    batch = BATCH // parallel.processes()

    def loss_of(generator: torch.Generator, _: int) -> torch.Tensor:
        picks = torch.randint(len(codes), (batch,), generator=generator)
        return reading.error(captions, codes[picks], generator)

    return fit(reading, loss_of, steps, LEARNING_RATE, state).encoder
