"""Schedules over optimiser steps, in closed form."""

import math


def warmup_cosine(step: int, start: float, end: float, num_steps: int, warmup: int = 0) -> float:
    """A linear rise from 0, then half a cosine from ``start`` to ``end``.

    ``linspace(0, start, warmup)``, then ``end + ½ (start - end) (1 + cos(π i / (T - W)))`` for
    i = 0 … T - W - 1: step 0 of a warm-up gives 0, ``start`` occurs twice, ``end`` is never quite
    reached.

    Args:
        step: Optimiser step, from 0.
        start: The value after the warm-up.
        end: The value the cosine heads for.
        num_steps: T, steps in all.
        warmup: W, steps of warm-up.

    Returns:
        The value for this step.
    """
    if step < warmup:
        return start * step / (warmup - 1) if warmup > 1 else 0.0
    progress = (step - warmup) / max(num_steps - warmup, 1)
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(progress, 1.0)))
