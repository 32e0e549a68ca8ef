"""Means over triples, and how sure they are."""

from __future__ import annotations

import numpy as np

RESAMPLES = 5000
CONFIDENCE = 0.95


def mean_and_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of ``values`` [triples] and its percentile bootstrap interval, which resamples whole triples."""
    rng = np.random.default_rng(0)
    picks = rng.integers(len(values), size=(RESAMPLES, len(values)))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values[picks].mean(1), [tail, 100 - tail])
    return float(values.mean()), float(low), float(high)
