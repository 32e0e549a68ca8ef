"""A photo with a heat map over it, and a label below."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

HEAT = np.array([(20, 10, 60), (120, 28, 109), (220, 60, 60), (251, 155, 6), (252, 255, 164)], dtype=np.float32)
"""Colours from no heat to all of it, evenly spaced: dark to light, so that they read without colour too."""
GREY = np.array((0.299, 0.587, 0.114), dtype=np.float32)
LEAST_COVER, MOST_COVER = 0.35, 0.85
"""How much of the photo the colours hide where there is no heat, and where all of it is."""
STRIP = 1 / 9
"""Height of the label's strip, as a part of the picture's height."""
SMALLEST_SIDE = 256
"""Pixels: a smaller photo is enlarged, so that its label can be read."""


def photo_picture(photo: torch.Tensor, label: str) -> Image.Image:
    """A photo [H, W, 3] in 0..1 above its label."""
    return _labelled(_enlarged(photo), label)


def heat_picture(photo: torch.Tensor, heat: torch.Tensor, label: str) -> Image.Image:
    """The photo [H, W, 3], grey under the colours of ``heat`` [h, w], whose hottest position is the lightest."""
    base = _enlarged(photo)
    shares = Image.fromarray((heat / heat.max().clamp(min=torch.finfo(torch.float32).tiny)).numpy())
    amount = np.asarray(shares.resize(base.size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
    stops = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(amount[..., 0], stops, channel) for channel in HEAT.T], axis=-1)
    grey = (np.asarray(base, dtype=np.float32) @ GREY)[..., None]
    cover = LEAST_COVER + (MOST_COVER - LEAST_COVER) * amount
    mixed = grey * (1 - cover) + colours * cover
    return _labelled(Image.fromarray(mixed.round().astype(np.uint8)), label)


def _enlarged(photo: torch.Tensor) -> Image.Image:
    picture = Image.fromarray((photo.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())
    scale = max(1.0, SMALLEST_SIDE / min(picture.size))
    return picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BICUBIC)


def _labelled(picture: Image.Image, label: str) -> Image.Image:
    strip = round(picture.height * STRIP)
    whole = Image.new("RGB", (picture.width, picture.height + strip))
    whole.paste(picture)
    draw = ImageDraw.Draw(whole)
    size = strip * 0.68
    if (width := draw.textlength(label, ImageFont.load_default(size))) > 0.94 * picture.width:
        size *= 0.94 * picture.width / width
    middle = (picture.width / 2, picture.height + strip / 2)
    draw.text(middle, label, fill="white", font=ImageFont.load_default(size), anchor="mm")
    return whole
