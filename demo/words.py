"""The demo model's vocabulary: a few caption words it has learned, and rare words that each stand for a random code.

A rare word's embedding holds two codes side by side: what it means as a style, and what it means as a content. Codes
are parameters of the portraits, each in -1..1, so what training has to find for a new identifier is a point in the very
space that the model was taught with.
"""

from __future__ import annotations

import torch

from .portraits.content import Identity
from .portraits.style import Style
from .shapes import CHANNELS

END = 49407
CODE_SCALE = 0.04
"""Embedding per unit of a code: rare words then have about the spread of CLIP's embeddings."""
STYLE = slice(0, len(Style.FIELDS))
CONTENT = slice(len(Style.FIELDS), len(Style.FIELDS) + len(Identity.FIELDS))


def rare_words(codes: torch.Tensor) -> torch.Tensor:
    """Embeddings [..., CHANNELS] of ``codes`` [..., style and content parameters]."""
    rows = codes.new_zeros(*codes.shape[:-1], CHANNELS)
    rows[..., : CONTENT.stop] = CODE_SCALE * codes
    return rows
