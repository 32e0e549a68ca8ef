"""What a source pass's content tokens look at, as pictures."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from ..styo_attention.content_tokens import ContentTokens
from ..styo_attention.heat_maps import mean_heat_maps, middle_of
from ..styo_attention.heat_pictures import heat_picture, photo_picture
from ..styo_attention.store import SourceMaps

NODE = "StyO Attention Preview"
END_OF_WORD = "</w>"
"""What CLIP's tokenizer spells at the end of a word's last token."""


def preview(maps: SourceMaps, image: torch.Tensor, start_percent: float, end_percent: float) -> torch.Tensor:
    """For each latent of the pass: its photo, and over it one heat map a content token, as IMAGE [n, H, W, 3].

    ``image`` is IMAGE [b, H, W, C], its last photo standing for all further latents. The part of the pass that counts
    goes from ``start_percent`` to ``end_percent`` of its steps, 0..1. Raises ValueError where no step lies there.
    """
    steps = _steps_within(maps, start_percent, end_percent)
    heats = [_heat_maps(maps, prompt, steps) for prompt in range(len(maps.contents))]
    pictures = []
    for row in range(maps.shape[0]):
        photo = middle_of(image[min(row, len(image) - 1)].cpu().float()[..., :3].expand(-1, -1, 3), maps.shape[2:])
        pictures.append(photo_picture(photo, "photo"))
        for content, heat in zip(maps.contents, heats, strict=True):
            for name, map_of_token in zip(token_names(content), heat[row], strict=True):
                pictures.append(heat_picture(photo, map_of_token, f"{name}   {map_of_token.mean():.1%}"))
    return torch.stack([_as_image(picture) for picture in pictures])


def token_names(content: ContentTokens) -> list[str]:
    """Each content token in its word, as in `m [4] a 1`, and which repetition it is of a word that has several."""
    repeated = {role for role, repetition, _ in content.labels if repetition}
    names = []
    for role, repetition, index in content.labels:
        tokens = zip(content.labels, content.texts, strict=True)
        word = [text.removesuffix(END_OF_WORD) for label, text in tokens if label[:2] == (role, repetition)]
        if len(word) > 1:
            word[index] = f"[{word[index]}]"
        names.append(" ".join(word) + (f" #{repetition + 1}" if role in repeated else ""))
    return names


def _steps_within(maps: SourceMaps, start_percent: float, end_percent: float) -> set[float]:
    """The captured noise levels whose step begins in the part from start to end."""
    count = max(1, len(maps.course.sigmas) - 1)
    within = set()
    for sigma in maps.sigmas:
        step = sum(level > sigma * (1 + 1e-4) for level in maps.course.sigmas)
        if start_percent <= step / count < end_percent or (end_percent == 1 and step >= count):
            within.add(sigma)
    if not within:
        raise ValueError(
            f"{NODE}: none of the source pass's {count} steps lies between start_percent {start_percent:g} and "
            f"end_percent {end_percent:g}: widen the range."
        )
    return within


def _heat_maps(maps: SourceMaps, prompt: int, steps: set[float]) -> torch.Tensor:
    return mean_heat_maps(
        (columns, maps.sizes[key]) for sigma, key, columns in maps if key.prompt == prompt and sigma in steps
    )


def _as_image(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).float() / 255
