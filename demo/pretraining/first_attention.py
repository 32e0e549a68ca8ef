"""Where the UNet's cross attention begins: in the columns that tell a style, or a content.

From an even spread over a caption's 77 columns, the one column of a content hardly moves the UNet, and training drifts
past it. So half of the heads begin with as much attention on the columns of styles as on all others together, and half
with as much on those of contents. From there on, training moves it where it likes.
"""

from __future__ import annotations

import math

import torch
from comfy.ldm.modules.attention import BasicTransformerBlock

RIDGE = 1e-3


@torch.no_grad()
def attend_to_identifiers(unet: torch.nn.Module, context: torch.Tensor, columns: torch.Tensor):
    """Turn the heads of ``unet``'s cross attention to ``columns`` [roles, N, tokens], of text embeddings ``context``.

    ``context`` is [N, tokens, channels]; heads take turns with the roles. Queries get a part that is the same in all
    positions, from random offsets of the normalisation before them, and keys one along it that tells the role.
    """
    directions = _directions(context, columns)
    logit = math.log(context.shape[1])
    for block in unet.modules():
        if not isinstance(block, BasicTransformerBlock):
            continue
        attention, offset = block.attn2, block.norm2.bias
        offset.add_(torch.randn_like(offset))
        d = attention.dim_head
        for head in range(attention.heads):
            rows = slice(head * d, (head + 1) * d)
            query = attention.to_q.weight[rows] @ offset
            key = query * (logit * d**0.5 / query.square().sum())
            attention.to_k.weight[rows] += torch.outer(key, directions[head % len(directions)])


def _directions(context: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Directions [roles, channels] whose product with a column is one more where it has the role: ridge regression."""
    x = context.flatten(0, 1).double()
    x = x - x.mean(0)
    squares = x.T @ x / len(x)
    has_role = columns.flatten(1).double()
    products = (has_role - has_role.mean(1, keepdim=True)) @ x / len(x)
    return torch.linalg.solve(squares + RIDGE * torch.eye(len(squares), dtype=x.dtype), products.T).T.to(context)
