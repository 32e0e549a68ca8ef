"""The demo model's vocabulary: a few caption words it has learned, and rare words that each stand for a random code.

A rare word's embedding holds two codes side by side: what it means as a style, and what it means as a content. Codes
are parameters of the portraits, each in -1..1, and those of rare words are drawn as the training's were. So a new
identifier means something from the start.
"""

from __future__ import annotations

import numpy as np
import torch

from .held_out import pretraining_portrait
from .portraits.content import Content, Identity
from .portraits.style import Style
from .shapes import CHANNELS

END = 49407
VOCABULARY = 49408
CODES_SEED = 2303
CODES = 512
"""Styles, and as many contents, that rare words mean by chance."""
CODE_SCALE = 0.02
"""Embedding per unit of a code: rare words then have about the spread of CLIP's embeddings."""
STYLE = slice(0, len(Style.FIELDS))
CONTENT = slice(len(Style.FIELDS), len(Style.FIELDS) + len(Content.FIELDS))
PERSON = slice(CONTENT.start, CONTENT.start + len(Identity.FIELDS))
"""What words tell of a content in training: who sits there. How they hold their head is left to the noise."""


def rare_words(codes: torch.Tensor) -> torch.Tensor:
    """Embeddings [..., CHANNELS] of what words tell of ``codes`` [..., style and content parameters]."""
    rows = codes.new_zeros(*codes.shape[:-1], CHANNELS)
    rows[..., : PERSON.stop] = CODE_SCALE * codes[..., : PERSON.stop]
    return rows


def token_table(learned: dict[int, torch.Tensor]) -> torch.Tensor:
    """The whole vocabulary's embeddings [VOCABULARY, CHANNELS]: the ``learned`` rows by token id, codes elsewhere."""
    rng = np.random.default_rng(CODES_SEED)
    portraits = [pretraining_portrait(rng) for _ in range(CODES)]
    contents, styles = (np.stack([part.vector for part in parts]) for parts in zip(*portraits, strict=True))
    picks = rng.integers(CODES, size=(2, VOCABULARY))
    table = rare_words(torch.from_numpy(np.concatenate([styles[picks[0]], contents[picks[1]]], 1)))
    for token, row in learned.items():
        table[token] = row
    return table
