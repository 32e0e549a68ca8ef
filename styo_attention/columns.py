"""Attention columns: reading M[:, i] out, and M_ctr V_sty of StyO (section 3.3) without forming the map M_ctr.

Shapes: q [B, N, heads * d], k and v [B, T, heads * d] with N query positions and T tokens; columns of M are
[B, heads, N, I] for I content tokens. M = softmax(Q K^T / sqrt(d)). Where a prompt's L tokens were repeated to T = r L
rows, to batch it with a longer prompt, the mass of column i is the sum over its r copies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """A view of [B, T, heads * d] as [B, heads, T, d]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def read_columns(q: torch.Tensor, k: torch.Tensor, columns: Sequence[int], heads: int) -> torch.Tensor:
    """M[:, i] for every i in ``columns``, [B, heads, N, I], in the precision of ``q``; scores are at least in float32.

    ``k`` holds the prompt's own L rows, without repetition. M is formed transposed, so that columns lie together.
    """
    dtype, precise = q.dtype, torch.promote_types(q.dtype, torch.float32)
    q, k = split_heads(q, heads).to(precise), split_heads(k, heads).to(precise)
    transposed = ((k * k.shape[-1] ** -0.5) @ q.mT).softmax(-2)
    return transposed[:, :, _index(columns)].to(dtype, copy=True).mT


def _index(columns: Sequence[int]) -> slice | list[int]:
    """A slice where the columns are neighbours: indexing by it copies no list to the GPU and waits for nothing."""
    first, last = columns[0], columns[-1]
    return slice(first, last + 1) if list(columns) == list(range(first, last + 1)) else list(columns)


@dataclasses.dataclass(frozen=True)
class Replacement:
    """The columns to replace for one prompt of a batch.

    ``rows`` are the prompt's items of the batch axis, ``columns`` its content tokens I, ``length`` its own number of
    tokens L, ``source`` M_src[:, I] as [B or 1, heads, N, I], and ``strength`` s mixes (1 - s) own + s source.
    """

    rows: slice
    columns: Sequence[int]
    length: int
    source: torch.Tensor
    strength: float = 1.0


def replace_columns(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    replacements: Sequence[Replacement],
    heads: int,
    attention: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Section 3.3, M_ctr V_sty [B, N, heads * d], as one ordinary ``attention`` call and one small product a prompt.

    With V' = V but for the content rows I, which are scaled by 1 - s: M_ctr V = M_sty V' + s M_src[:, I] V[I].
    """
    rest = v.clone()
    for r in replacements:
        rest[r.rows].unflatten(1, (-1, r.length))[:, :, _index(r.columns)] *= 1 - r.strength
    out = attention(q, k, rest)
    for r in replacements:
        split_heads(out, heads)[r.rows] += r.source @ _content_values(v, r, heads)
    return out


def replace_columns_of(
    base: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    replacements: Sequence[Replacement],
    heads: int,
) -> torch.Tensor:
    """Section 3.3 on top of ``base`` = M_sty V + anything: base + s (M_src - M_sty)[:, I] V[I], [B, N, heads * d].

    For where the attention call is not ours to make, such as under an image adapter that replaces it.
    """
    out = base.clone()
    for r in replacements:
        own = read_columns(q[r.rows], k[r.rows, : r.length], r.columns, heads)
        split_heads(out, heads)[r.rows] += (r.source - own) @ _content_values(v, r, heads)
    return out


def compare_columns(q: torch.Tensor, k: torch.Tensor, r: Replacement, heads: int, positions: int = 64) -> torch.Tensor:
    """How much ``r`` moves: sums over up to ``positions`` of the N, spread evenly, float32 [3].

    They are the number of maps' rows, the attention in M_sty[:, I] and M_src[:, I] together, and s |M_src - M_sty|.
    """
    every = -(-q.shape[1] // positions)
    own = read_columns(q[r.rows, ::every], k[r.rows, : r.length], r.columns, heads).float()
    source = r.source[:, :, ::every].float()
    rows = own.new_tensor(own[..., 0].numel())
    return torch.stack([rows, (own + source).sum(), r.strength * (own - source).abs().sum()])


def _content_values(v: torch.Tensor, r: Replacement, heads: int) -> torch.Tensor:
    """s V[I], [B, heads, I, d]."""
    return split_heads(r.strength * v[r.rows, _index(r.columns)], heads)
