"""Matching of patterns over ids, without regard to what the ids are of. (wire.md section 5.)

A pattern runs as a state machine whose states are the positions between its components. All states that are possible at
once are the bits of one integer, so that a component of the id moves all of them in a few operations: the time grows
with the product of the two lengths, divided by the width of a machine word, whatever the wildcards.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ANY", "ONE", "Machine", "covers", "overlap"]

ONE = "*"
ANY = "**"


def covers(pattern: str, other: str) -> bool:
    """Whether every id that `other` matches is matched by `pattern`; both are well formed patterns."""
    return Machine(pattern.split("/")).covers(other.split("/"))


def overlap(one: str, other: str) -> bool:
    """Whether there is an id that two well formed patterns both match."""
    return Machine(one.split("/")).overlaps(other.split("/"))


class Machine:
    """The state machine of one pattern. Bit i of a set of states: the first i components are matched."""

    __slots__ = ("any", "final", "literals", "one", "spelled")

    def __init__(self, components: Iterable[str]) -> None:
        self.any = 0
        """The states before a `**`: they stay where they are, and the next state is reached for nothing."""
        self.one = 0
        """The states before a `*`."""
        self.literals = 0
        """The states before a literal component."""
        self.spelled: dict[str, int] = {}
        """The same, by what the component must be."""
        state = 1
        before = ""
        for component in components:
            if component == before == ANY:
                continue  # a second "**" adds nothing, and would make reaching a state for nothing take two steps
            if component == ANY:
                self.any |= state
            elif component == ONE:
                self.one |= state
            else:
                self.literals |= state
                self.spelled[component] = self.spelled.get(component, 0) | state
            state <<= 1
            before = component
        self.final = state

    def accepts(self, components: Iterable[str]) -> bool:
        """Whether a run over the components, of an id or of a pattern, can end behind the last component."""
        states = self._reach(1)
        for component in components:
            states = self._step(states, self.literals if component == ONE else self.spelled.get(component, 0))
            if not states:
                return False
        return bool(states & self.final)

    def covers(self, components: Iterable[str]) -> bool:
        """Whether every id that another pattern matches is matched by this one as well.

        A wildcard of the other pattern stands for components that no literal of this one spells, so that only a
        wildcard of this one takes it, and only `**` takes `**`. Where two patterns say the same in different words
        (`*/**` and `**/*`) the answer may be no; it is never yes by mistake.
        """
        states = self._reach(1)
        for component in components:
            if component == ANY:
                states = self._reach(states & self.any)
            else:
                states = self._step(states, 0 if component == ONE else self.spelled.get(component, 0))
            if not states:
                return False
        return bool(states & self.final)

    def overlaps(self, components: Iterable[str]) -> bool:
        """Whether there is an id that this pattern and another one both match."""
        states = self._reach(1)
        for component in components:
            if component == ANY:  # any components may follow: every state from the first possible one on is possible
                states = (self.final << 1) - (states & -states)
            else:
                states = self._step(states, self.literals if component == ONE else self.spelled.get(component, 0))
            if not states:
                return False
        return bool(states & self.final)

    def _step(self, states: int, literal: int) -> int:
        """The states behind one more component, which the literals of some states spell."""
        return self._reach((states & (literal | self.one)) << 1 | states & self.any)

    def _reach(self, states: int) -> int:
        return states | (states & self.any) << 1
