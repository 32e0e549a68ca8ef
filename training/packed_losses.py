"""The losses of a training in a file's metadata: a plain list while that is short, and short whatever their number."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

import numpy as np

LISTED = 10_000
"""Steps up to which losses are listed as JSON's numbers; beyond, they are float32 in base64, a quarter as long."""


def pack_losses(losses: Sequence[float]) -> list[float | None] | str:
    """What JSON is given for ``losses``; those of a list that are not finite are None, as JSON has no word for them."""
    if len(losses) > LISTED:
        return base64.b64encode(np.asarray(losses, dtype="<f4").tobytes()).decode("ascii")
    return [loss if math.isfinite(loss) else None for loss in losses]


def unpack_losses(packed: list[float | None] | str) -> list[float]:
    """The losses that `pack_losses` was given; raises ValueError or TypeError for anything else."""
    if isinstance(packed, str):
        return np.frombuffer(base64.b64decode(packed, validate=True), dtype="<f4").tolist()
    return [math.nan if loss is None else float(loss) for loss in packed]
