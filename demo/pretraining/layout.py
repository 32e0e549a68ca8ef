"""Cross attention that means layout: while it is trained, heads' content columns lie where a part of a person is.

The renderer knows where that is. In most captions the maps are *forced* there, so at high noise they are the only place
where the layout can be read, and the UNet learns to draw where its maps say. In the others the maps are its own, and
what they miss is part of the loss, so they come to say where it draws.

Heads read either contents or styles, hardly both. Where one head read both, StyO's training, which gives new meanings
to a style and a content at once, would put half of the artwork's person into its style.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ...styo_attention.columns import split_heads
from ..portraits.body import paint_neck, paint_shirt
from ..portraits.content import Content
from ..portraits.hair import Hair
from ..portraits.head import outline
from ..portraits.scene import Scene
from ..portraits.shapes import length, pixels
from ..portraits.style import Style
from ..shapes import LATENT_SIDE
from ..words import CONTENT, STYLE
from .captions import LENGTH

PARTS = ("face", "hair", "eyes", "mouth", "body", "wall")
"""What a content head's columns follow; those of the whole UNet take turns."""
OVERSAMPLING = 2
LEAST, SPAN = 0.1, 0.8
"""A content head's attention on the content columns outside of its part, and how much more it has inside."""
ON_STYLES = 0.85
"""A style head's attention on the style columns; of a layer's heads every other one is such."""
STRAY = 0.03
"""What a head has on the columns that it does not read."""
FORCED, OPEN = 0.55, 0.5
"""Share of the captions whose maps are forced, and of these, of the maps whose rows need not add up to 1.

FCC replaces the content columns and leaves the others as they are: the UNet has to bear that.
"""
SMALLEST = 1e-4


def masks(codes: np.ndarray) -> np.ndarray:
    """How much of each latent position is which part, [N, parts, side, side], in portraits of ``codes`` [N, codes]."""
    return np.stack([_masks(Content.from_vector(code[CONTENT]), Style.from_vector(code[STYLE])) for code in codes])


def _masks(content: Content, style: Style) -> np.ndarray:
    scene = Scene(content, style, OVERSAMPLING * LATENT_SIDE)
    head, hair = scene.head, Hair(scene)

    def cover(distance: np.ndarray) -> np.ndarray:
        return np.clip(0.5 - distance, 0, 1)

    def spot(x: float, y: float, width: float, height: float) -> np.ndarray:
        return cover(pixels(length((scene.face_x - x) / width, (scene.y - y) / height) - 1))

    skin = cover(pixels(outline(scene)))
    lock = cover(np.maximum(pixels(hair.f), pixels(scene.y - hair.hairline())))
    behind = cover(pixels(hair.f)) * (1 - skin)
    eyes = sum(spot(side * head.eye_x, head.eye_y - 0.04, 1.2 * head.eye_width, 0.16) for side in (-1, 1))
    mouth = spot(0, head.mouth_y, 1.15 * head.mouth_width, 0.11)
    paint_neck(scene)
    paint_shirt(scene)
    face, locks = skin * (1 - lock), np.maximum(lock, behind)
    body = (1 - scene.canvas.wall) * (1 - skin) * (1 - lock)
    wall = scene.canvas.wall * (1 - skin) * (1 - locks)
    found = np.stack([face, locks, np.minimum(eyes, 1) * (1 - lock), mouth, body, wall])
    shape = (len(PARTS), LATENT_SIDE, OVERSAMPLING, LATENT_SIDE, OVERSAMPLING)
    return found.reshape(shape).mean((2, 4)).astype(np.float32)


@dataclasses.dataclass
class Layout:
    """The attention of one pass over a batch, as ComfyUI's ``optimized_attention_override``; good for one pass only.

    ``masks`` [N, parts, side, side], ``content`` and ``style`` [N, LENGTH] the columns of either, none where a caption
    has no such, and ``forced`` and ``open`` [N] as FORCED and OPEN say. ``errors`` gathers, by layer, what the own maps
    miss.
    """

    masks: torch.Tensor
    content: torch.Tensor
    style: torch.Tensor
    forced: torch.Tensor
    open: torch.Tensor
    errors: list[torch.Tensor] = dataclasses.field(default_factory=list)
    _content_heads: int = 0

    @classmethod
    def draw(
        cls, masks: torch.Tensor, content: torch.Tensor, style: torch.Tensor, generator: torch.Generator
    ) -> Layout:
        """Which maps are forced, by chance."""
        forced, open_ = (
            chance.to(masks.device) < share
            for chance, share in zip(torch.rand(2, len(content), generator=generator), (FORCED, OPEN), strict=True)
        )
        return cls(masks, content.to(masks.device), style.to(masks.device), forced, forced & open_)

    @property
    def placed(self) -> torch.Tensor:
        """The captions [N] whose forced maps say where a person is."""
        return self.forced & self.content.any(1)

    def __call__(self, _, q, k, v, heads: int, *args, **kwargs):
        """Attention [N, tokens, heads * d]."""
        q, k, v = (split_heads(x, heads) for x in (q, k, v))
        if k.shape[2] != LENGTH:
            attended = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            maps = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).float().softmax(-1)
            attended = self._laid_out(maps).to(v.dtype) @ v
        return attended.transpose(1, 2).flatten(2)

    def _laid_out(self, maps: torch.Tensor) -> torch.Tensor:
        """``maps`` [N, heads, positions, LENGTH], forced where they shall be."""
        groups = torch.stack([self.content, self.style, ~(self.content | self.style)], 1).to(maps.dtype)
        own = self._shares(maps.shape[1], maps.shape[2])
        mass = (maps @ groups[:, None].transpose(-1, -2)).clamp(min=SMALLEST)
        told = (self.style.any(1) & ~self.forced).to(mass.dtype)
        missed = (own * (own.clamp(min=SMALLEST) / mass).log()).sum(-1)
        self.errors.append((missed.mean((1, 2)) * told).sum() / told.sum().clamp(min=1))
        scales = torch.where(self.forced[:, None, None, None], own / mass, 1)
        scales[..., 1:] = torch.where(self.open[:, None, None, None], 1, scales[..., 1:])
        return maps * (scales @ groups[:, None])

    def _shares(self, heads: int, positions: int) -> torch.Tensor:
        """What the next ``heads`` should have on content, style and all else [N, heads, positions, 3]."""
        readers = range(1, heads, 2)
        parts = torch.arange(self._content_heads, self._content_heads + len(readers)) % len(PARTS)
        self._content_heads += len(readers)
        pooled = torch.nn.functional.adaptive_avg_pool2d(self.masks, round(positions**0.5))
        own = pooled.new_full((len(pooled), heads, positions, 3), STRAY)
        own[:, 1::2, :, 0] = LEAST + SPAN * pooled[:, parts].flatten(2)
        own[:, 0::2, :, 1] = ON_STYLES
        own[..., 0] *= self.content.any(1)[:, None, None]
        own[..., 1] *= self.style.any(1)[:, None, None]
        own[..., 2] = 1 - own[..., :2].sum(-1)
        return own

    @property
    def error(self) -> torch.Tensor:
        """What the own maps of captions miss: Kullback and Leibler's divergence, the mean of all."""
        return torch.stack(self.errors).mean()
