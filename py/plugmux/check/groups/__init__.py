"""The checks, by group, in the order in which they run: each module holds one group."""

from ..check import Check, Group
from . import calls, ending, gate, health, hygiene, launch, load, registration, secrets, yamux

__all__ = ["CHECKS", "GROUPS"]

GROUPS: tuple[Group, ...] = tuple(
    module.GROUP for module in (launch, registration, gate, health, calls, load, yamux, ending, secrets, hygiene)
)
CHECKS: tuple[Check, ...] = tuple(check for group in GROUPS for check in group.checks)
