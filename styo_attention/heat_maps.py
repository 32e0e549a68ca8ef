"""Where a prompt's content tokens look: the columns of M_src as pictures' worth of heat."""

from __future__ import annotations

from collections.abc import Iterable

import torch

Size = tuple[int, int]
"""Height and width of a cross-attention layer's query grid."""


def mean_heat_maps(layers: Iterable[tuple[torch.Tensor, Size]]) -> torch.Tensor:
    """The mean of M[:, I] over heads, layers and steps, [B, I, H, W] with H x W the finest grid among ``layers``.

    ``layers`` are columns [B, heads, N, I] with the h, w of their N = h * w query positions. Coarser ones are resized,
    and each counts the same. There is at least one.
    """
    sums: dict[Size, torch.Tensor] = {}
    count = 0
    for columns, size in layers:
        heat = columns.float().mean(1).mT.unflatten(-1, size)
        sums[size] = sums[size] + heat.to(sums[size].device) if size in sums else heat
        count += 1
    finest = max(sums)
    resized = [
        torch.nn.functional.interpolate(heat.cpu(), finest, mode="bilinear", antialias=False) for heat in sums.values()
    ]
    return torch.stack(resized).sum(0) / count


def middle_of(image: torch.Tensor, size: Size) -> torch.Tensor:
    """The largest middle part of an image [H, W, C] that has the aspect of ``size``."""
    height, width = image.shape[:2]
    scale = min(height / size[0], width / size[1])
    kept = round(size[0] * scale), round(size[1] * scale)
    top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
    return image[top : top + kept[0], left : left + kept[1]]
