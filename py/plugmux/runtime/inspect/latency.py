"""How long calls took, in buckets whose width is a quarter of a power of two of microseconds."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BUCKETS", "Latencies", "lower_bound", "quantile"]

OCTAVES = 26
"""Powers of two of microseconds that are told apart: up to a minute."""

BUCKETS = 1 + 4 * OCTAVES


class Latencies(list[int]):
    """How many calls fell into each bucket.

    Bucket 0 has the calls below one microsecond. Bucket `1 + 4 * n + k` has those from `2**n * (1 + k / 4)`
    microseconds on; the last one has all that are longer.
    """

    def __init__(self) -> None:
        super().__init__([0] * BUCKETS)

    @staticmethod
    def bucket(microseconds: int) -> int:
        """The bucket that a call falls into which took this long."""
        octave = microseconds.bit_length() - 1
        if octave >= OCTAVES:
            return BUCKETS - 1
        if octave < 2:
            return (0, 1, 5, 7)[microseconds]
        return (octave << 2) + (microseconds >> (octave - 2)) - 3

    def add(self, microseconds: int) -> None:
        """Count a call that took this long."""
        self[self.bucket(microseconds)] += 1

    def shortened(self) -> list[int]:
        """The counts without the empty buckets behind the last call."""
        last = BUCKETS
        while last and not self[last - 1]:
            last -= 1
        return self[:last]


def lower_bound(bucket: int) -> float:
    """The shortest time that falls into a bucket, in seconds. The upper bound of a bucket is that of the next."""
    if not bucket:
        return 0.0
    octave, quarter = divmod(bucket - 1, 4)
    return float(2**octave * (4 + quarter)) / 4e6


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The time within which a share of the calls ended, in seconds, to a quarter of a power of two.

    Args:
        counts: of the buckets; those behind the last call may be left out.
        share: from 0 to 1.

    Returns:
        The upper bound of the bucket that the call is in; `None` where there are no calls.
    """
    left = share * sum(counts)
    if not any(counts):
        return None
    for bucket, count in enumerate(counts):
        left -= count
        if count and left <= 0:
            return lower_bound(bucket + 1)
    return lower_bound(len(counts))
