# SPDX-License-Identifier: Apache-2.0
"""Random numbers that depend only on what they are for, never on what was drawn before."""

from __future__ import annotations

import zlib

import numpy as np


def rng_for(seed: int, what: str, *indices: int) -> np.random.Generator:
    """Make the generator of one thing in the simulated world.

    The same (seed, what, indices) always gives the same numbers, in any order of calls and in
    any process: a frame can be rendered without rendering those before it.

    :param seed: the tunnel's seed, >= 0.
    :param what: the kind of thing, such as ``'crack'``.
    :param indices: which one, such as a cell's column and row; may be negative.
    """
    # SeedSequence takes no negative words: fold the sign into the lowest bit.
    folded = [2 * i if i >= 0 else -2 * i - 1 for i in indices]
    return np.random.default_rng([seed, zlib.crc32(what.encode()), *folded])


def seed_for(seed: int, what: str, *indices: int) -> int:
    """Derive a 63-bit seed for one thing in the simulated world (see ``rng_for``)."""
    return int(rng_for(seed, what, *indices).integers(2**63 - 1))
