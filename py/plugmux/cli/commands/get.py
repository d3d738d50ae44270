"""`plugmux get PATTERN`: the secrets that match."""

from __future__ import annotations

import argparse
import base64
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from ..launch.options import in_time
from ..output import write_error, write_json, write_text, write_values
from ..target import add_target_options, open_target
from ..times import as_rfc3339
from ..wording import worded

if TYPE_CHECKING:
    from datetime import datetime

    from ...secrets import Explanation, Secret

__all__ = ["add", "run"]


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "get",
        help="print secrets",
        description="Print the secrets that match. One: its value, raw, with a newline only on a terminal. Several: a "
        "line ID<TAB>VALUE for each. None: nothing, and exit status 1.",
        allow_abbrev=False,
    )
    parser.add_argument("pattern", metavar="PATTERN", help='an id, or a pattern with components "*" and "**"')
    add_target_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON array of objects, with values in base64")
    parser.add_argument(
        "--explain", action="store_true", help="print what became of each plugin, and why, in place of the secrets"
    )
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ...secrets import InvalidPattern, Pattern

    try:
        pattern = Pattern(options.pattern)
    except InvalidPattern as error:
        raise ConfigError(str(error)) from None
    async with open_target(options) as target, in_time(options.timeout):
        if options.explain:
            return _print_explanation(await target.explain(pattern), options.json)
        secrets = await target.secrets(pattern)
    if options.json:
        write_json([_as_json(secret) for secret in secrets])
    elif secrets:
        write_values([(secret.id, secret.value) for secret in (secrets[:1] if pattern.is_id else secrets)])
    if not secrets:
        write_error(f"plugmux: no secret matches {pattern.text!r}; --explain tells why")
    return 0 if secrets else 1


def _print_explanation(explanation: Explanation, as_json: bool) -> int:
    if as_json:
        write_json(
            [
                {
                    "plugin": account.plugin,
                    "pattern": account.pattern,
                    "outcome": account.outcome.value,
                    "reason": account.reason,
                    "found": account.found,
                    "required": account.required,
                }
                for account in explanation.accounts
            ]
        )
    else:
        write_text(worded(explanation))
    return 0 if explanation.found else 1


def _as_json(secret: Secret) -> dict[str, object]:
    return {
        "id": secret.id,
        "value": base64.b64encode(secret.value).decode(),
        "provider": secret.provider,
        "version": secret.version,
        "created_at": _time(secret.created_at),
        "resolved_at": _time(secret.resolved_at),
        "expires_at": _time(secret.expires_at),
        "metadata": dict(secret.metadata),
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else as_rfc3339(time)
