"""Keeps a forked child from holding open what belongs to its parent.

A child that a program forks without `exec`, as `multiprocessing` does, has every descriptor of its parent. A peer would
not see the parent's end as long as the child lives. A fork concerns the whole process, and so does what stands here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

__all__ = ["HoldsDescriptors", "lose_in_children"]


class HoldsDescriptors(Protocol):
    """Whatever has descriptors that are its process' alone."""

    def descriptors(self) -> Iterable[int]:
        """Those that are open now; a negative number stands for none."""
        ...


_holders: WeakSet[HoldsDescriptors] = WeakSet()


def lose_in_children(holder: HoldsDescriptors) -> None:
    """Let the descriptors of an object lead nowhere in every child that is forked while it lives."""
    _holders.add(holder)


def _lose() -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for holder in list(_holders):
        with suppress(OSError, ValueError):  # closed already
            for descriptor in holder.descriptors():
                if descriptor >= 0:  # The number stays taken: the child's objects may still close it.
                    os.dup2(null, descriptor, inheritable=False)
    os.close(null)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lose)
