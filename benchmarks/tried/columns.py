"""Ways to read the columns of an attention map, and to replace them in a guidance batch."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from comfy.ldm.modules.attention import optimized_attention
from styo.styo_attention.columns import Replacement, read_columns, replace_columns, split_heads

HEADS, TOKENS = 8, 77
PLAIN = "no replacement"
COLUMNS = list(range(20, 27))

Way = Callable[[], torch.Tensor]


def random_qkv(batch: int, positions: int, width: int, device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """q [batch, positions, HEADS * width], k and v [batch, TOKENS, HEADS * width]."""
    generator = torch.Generator().manual_seed(4)
    shapes = [(batch, length, HEADS * width) for length in (positions, TOKENS, TOKENS)]
    return [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]


def reading(q: torch.Tensor, k: torch.Tensor) -> tuple[Way, dict[str, Way]]:
    """The pack's way, the softmax of the transposed map, and others; all give the same."""
    query, key = split_heads(q, HEADS), split_heads(k, HEADS)

    def scores() -> torch.Tensor:
        return query @ (key * key.shape[-1] ** -0.5).transpose(-1, -2)

    def of_the_whole_map() -> torch.Tensor:
        return scores().softmax(-1)[..., COLUMNS]

    def by_logsumexp() -> torch.Tensor:
        all_scores = scores()
        return (all_scores[..., COLUMNS] - all_scores.logsumexp(-1, keepdim=True)).exp()

    def by_unit_values() -> torch.Tensor:
        """Values that are unit vectors, as wide as the keys, which fused kernels want."""
        units = key.new_zeros(key.shape[-2:])
        units[COLUMNS] = torch.eye(len(COLUMNS), key.shape[-1], dtype=key.dtype, device=key.device)
        found = torch.nn.functional.scaled_dot_product_attention(query, key, units.expand_as(key))
        return found[..., : len(COLUMNS)].contiguous()

    return functools.partial(read_columns, q, k, COLUMNS, HEADS), {
        "softmax of the whole map": of_the_whole_map,
        "exp(q k - logsumexp)": by_logsumexp,
        "unit values in fused attention": by_unit_values,
    }


def replacing(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[Way, dict[str, Way]]:
    """FCC (section 3.3) for the conditional half of a batch of 2: one call for both, one for each, and without FCC."""
    source = read_columns(q[:1], k[:1], COLUMNS, HEADS)
    attention = functools.partial(optimized_attention, heads=HEADS)

    def replaced(batch: slice, row: slice) -> torch.Tensor:
        fcc = [Replacement(row, COLUMNS, TOKENS, source)]
        return replace_columns(q[batch], k[batch], v[batch], fcc, HEADS, attention)

    def apart() -> torch.Tensor:
        return torch.cat([attention(q[:1], k[:1], v[:1]), replaced(slice(1, 2), slice(0, 1))])

    others = {"a call for each half": apart, PLAIN: functools.partial(attention, q, k, v)}
    return functools.partial(replaced, slice(0, 2), slice(1, 2)), others
