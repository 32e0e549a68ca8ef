"""Ways to read the columns of an attention map, and to replace them in a guidance batch."""

from __future__ import annotations

import functools

import torch
from comfy.ldm.modules.attention import optimized_attention
from styo.styo_attention.columns import Replacement, read_columns, replace_columns, split_heads

HEADS, TOKENS = 8, 77
COLUMNS = list(range(20, 27))


def random_qkv(batch: int, positions: int, width: int, device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """q [batch, positions, HEADS * width], k and v [batch, TOKENS, HEADS * width]."""
    generator = torch.Generator().manual_seed(4)
    shapes = [(batch, length, HEADS * width) for length in (positions, TOKENS, TOKENS)]
    return [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]


def _scores(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    q, k = split_heads(q, HEADS), split_heads(k, HEADS)
    return q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2)


def of_the_whole_map(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """The softmax of everything, indexed."""
    return _scores(q, k).softmax(-1)[..., COLUMNS]


def by_logsumexp(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """exp(q k_i - logsumexp) of the few."""
    scores = _scores(q, k)
    return (scores[..., COLUMNS] - scores.logsumexp(-1, keepdim=True)).exp()


def by_unit_values(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Fused attention whose values are unit vectors, as wide as the keys, which fused kernels want."""
    q, k = split_heads(q, HEADS), split_heads(k, HEADS)
    units = k.new_zeros(k.shape[-2:])
    units[COLUMNS] = torch.eye(len(COLUMNS), k.shape[-1], dtype=k.dtype, device=k.device)
    return torch.nn.functional.scaled_dot_product_attention(q, k, units.expand_as(k))[..., : len(COLUMNS)].contiguous()


def kept(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """The softmax of the transposed map."""
    return read_columns(q, k, COLUMNS, HEADS)


WAYS = {
    "softmax of the whole map": of_the_whole_map,
    "exp(q k - logsumexp)": by_logsumexp,
    "unit values in fused attention": by_unit_values,
}


class GuidanceBatch:
    """FCC (section 3.3) for the conditional half of a batch of 2."""

    def __init__(self, positions: int, width: int, device: str, dtype: torch.dtype):
        self.q, self.k, self.v = random_qkv(2, positions, width, device, dtype)
        self.source = read_columns(self.q[:1], self.k[:1], COLUMNS, HEADS)
        self.attention = functools.partial(optimized_attention, heads=HEADS)

    def together(self) -> torch.Tensor:
        """One attention call for both halves."""
        return replace_columns(self.q, self.k, self.v, [self._replacement(slice(1, 2))], HEADS, self.attention)

    def apart(self) -> torch.Tensor:
        """One attention call for each half."""
        q, k, v = self.q, self.k, self.v
        plain = self.attention(q[:1], k[:1], v[:1])
        replaced = replace_columns(q[1:], k[1:], v[1:], [self._replacement(slice(0, 1))], HEADS, self.attention)
        return torch.cat([plain, replaced])

    def plain(self) -> torch.Tensor:
        """Attention without replacement."""
        return self.attention(self.q, self.k, self.v)

    def _replacement(self, rows: slice) -> Replacement:
        return Replacement(rows, COLUMNS, TOKENS, self.source)
