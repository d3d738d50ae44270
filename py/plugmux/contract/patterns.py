"""Matches patterns against ids of any kind. (docs/wire.md section 5.)

A pattern is run as a nondeterministic state machine whose states are the positions between its components. The set of
current states is one integer, a bit for each state, so that one component of the id advances all states in a few
operations. The time is proportional to the product of the two lengths divided by the width of a machine word, whatever
the wildcards are.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ANY", "ONE", "Machine", "covers", "overlap"]

ONE = "*"
ANY = "**"


def covers(pattern: str, other: str) -> bool:
    """Whether `pattern` matches every id that `other` matches; both are well formed patterns."""
    return Machine(pattern.split("/")).covers(other.split("/"))


def overlap(one: str, other: str) -> bool:
    """Whether some id is matched by both of two well formed patterns."""
    return Machine(one.split("/")).overlaps(other.split("/"))


class Machine:
    """The state machine of one pattern. In a set of states bit i means that the first i components are matched."""

    __slots__ = ("any", "final", "literals", "one", "spelled")

    def __init__(self, components: Iterable[str]) -> None:
        self.any = 0
        """The states before a `**`: any component keeps them, and the next state is reached without a component."""
        self.one = 0
        """The states before a `*`."""
        self.literals = 0
        """The states before a literal component."""
        self.spelled: dict[str, int] = {}
        """The same states, by the component."""
        state = 1
        before = ""
        for component in components:
            if component == before == ANY:
                continue  # a second "**" adds nothing, and `_reach` passes over only one
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
        """Whether the machine can be in its final state after the components of an id or a pattern."""
        states = self._reach(1)
        for component in components:
            states = self._step(states, self.literals if component == ONE else self.spelled.get(component, 0))
            if not states:
                return False
        return bool(states & self.final)

    def covers(self, components: Iterable[str]) -> bool:
        """Whether this pattern matches every id that another one matches.

        A wildcard of the other pattern is matched only by a wildcard of this one, and `**` only by `**`. For two
        patterns that are equivalent but written differently (`*/**` and `**/*`) the answer may be no. It is never yes
        by mistake.
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
        """Whether some id is matched by both this pattern and another one."""
        states = self._reach(1)
        for component in components:
            if component == ANY:  # any components may follow, so that all states from the first one on can be reached
                states = (self.final << 1) - (states & -states)
            else:
                states = self._step(states, self.literals if component == ONE else self.spelled.get(component, 0))
            if not states:
                return False
        return bool(states & self.final)

    def _step(self, states: int, literal: int) -> int:
        """The states after one more component; `literal` has the states whose literal it equals."""
        return self._reach((states & (literal | self.one)) << 1 | states & self.any)

    def _reach(self, states: int) -> int:
        return states | (states & self.any) << 1
