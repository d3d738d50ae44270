"""The outcome of a resolution for each plugin, with the reason and without any value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from plugmux_proto.resolver.v1 import resolver_pb2 as pb

from .pattern import Pattern

__all__ = ["Account", "Explanation", "Outcome"]


class Outcome(Enum):
    """The outcome of one resolution for one plugin."""

    ANSWERED = "answered"
    HAS_NONE = "has none"
    SKIPPED = "skipped"
    FAILED = "failed"


_NUMBERS = {
    Outcome.ANSWERED: pb.OUTCOME_ANSWERED,
    Outcome.HAS_NONE: pb.OUTCOME_HAS_NONE,
    Outcome.SKIPPED: pb.OUTCOME_SKIPPED,
    Outcome.FAILED: pb.OUTCOME_FAILED,
}
_OUTCOMES = {number: outcome for outcome, number in _NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class Account:
    """The outcome of one resolution for one plugin, with the reason.

    Args:
        plugin: the plugin's name.
        outcome: answered, has none, skipped or failed.
        reason: the reason, for people.
        pattern: the plugin's own pattern, `None` if it is not a provider, or not known to be one.
        found: how many matching secrets it returned.
        required: whether the resolution fails when this plugin fails.
    """

    plugin: str
    outcome: Outcome
    reason: str
    pattern: str | None = None
    found: int = 0
    required: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """The outcome of one resolution for every plugin; `str` formats it as a table, without any value.

    Args:
        pattern: the pattern that was requested.
        accounts: one for each plugin of the runtime, and for each required plugin that the runtime does not have;
            sorted by name.
    """

    pattern: Pattern
    accounts: tuple[Account, ...]

    @property
    def found(self) -> int:
        """How many secrets match, in all plugins together."""
        return sum(account.found for account in self.accounts)

    @property
    def outages(self) -> dict[str, str]:
        """The reasons of the required plugins that failed, by name."""
        return {
            account.plugin: account.reason
            for account in self.accounts
            if account.required and account.outcome is Outcome.FAILED
        }

    @classmethod
    def from_accounts(cls, pattern: Pattern, accounts: Iterable[pb.GetSecretsResponse.Account]) -> Explanation:
        """Read an explanation from messages; an unknown outcome counts as a failure."""
        return cls(
            pattern,
            tuple(
                Account(
                    each.plugin,
                    _OUTCOMES.get(each.outcome, Outcome.FAILED),
                    each.reason,
                    each.pattern or None,
                    each.found,
                    each.required,
                )
                for each in accounts
            ),
        )

    def to_accounts(self) -> list[pb.GetSecretsResponse.Account]:
        """Write the explanation to messages."""
        return [
            pb.GetSecretsResponse.Account(
                plugin=each.plugin,
                outcome=_NUMBERS[each.outcome],
                reason=each.reason,
                pattern=each.pattern or "",
                found=each.found,
                required=each.required,
            )
            for each in self.accounts
        ]

    def __str__(self) -> str:
        rows = [("PLUGIN", "PATTERN", "OUTCOME", "WHY")]
        rows += [(each.plugin, each.pattern or "-", each.outcome.value, each.reason) for each in self.accounts]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join("  ".join([*(map(str.ljust, row, widths)), row[3]]) for row in rows)
