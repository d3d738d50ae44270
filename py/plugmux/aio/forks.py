"""Keeps a forked child from holding its parent's connections open.

A child that a program forks without `exec`, as `multiprocessing` does, has every descriptor of its parent. As long as
the child lives, a peer would not see that the parent has closed the connection. The registry here is global, since a
fork copies the whole process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

__all__ = ["HoldsDescriptors", "lose_in_children"]


class HoldsDescriptors(Protocol):
    """An object with descriptors that a child must not share."""

    def descriptors(self) -> Iterable[int]:
        """The descriptors that are open now; a negative number stands for none."""
        ...


_holders: WeakSet[HoldsDescriptors] = WeakSet()


def lose_in_children(holder: HoldsDescriptors) -> None:
    """Redirect the descriptors of an object to the null device in every child that is forked while it lives."""
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
