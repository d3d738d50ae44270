"""`plugmux check CMD`: whether a plugin of any language speaks the wire."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from ..launch.options import add_launch_options, configurations, variables
from ..launch.source import parse_one
from ..launch.words import words_of
from ..output import write_error, write_json, write_table
from ..terminal.progress import Step, progress

if TYPE_CHECKING:
    from ...check import Check, Result

__all__ = ["add", "run"]

TIMEOUT = 30.0
HEAD = ("RESULT", "CHECK", "LEVEL", "MESSAGE")


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="check that a plugin speaks the wire",
        description="Launch a plugin of any language and hold it against the wire, for its author's CI. The plugin's "
        "methods are called. The exit status is 1 where a required check fails. On a terminal the results are a table, "
        "else tab-separated lines. What each check is about stands in docs/check.md.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "command",
        metavar="CMD",
        nargs="?",
        help='the plugin, as one word: a command ("./plugin -v"), a script, MODULE:OBJECT or a name',
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the results as one JSON object")
    form.add_argument("--list", action="store_true", help="list the checks, and run none")
    parser.add_argument("--junit", metavar="FILE", help="write the results to a file as well, as JUnit's XML")
    parser.add_argument("--service", metavar="S", action="append", default=[], help="call the methods of this service")
    parser.add_argument(
        "--request",
        metavar="SERVICE/METHOD=JSON",
        action="append",
        default=[],
        help="call a method with this request, in place of a message without fields",
    )
    parser.add_argument("--only", metavar="ID", action="append", default=[], help="run this check or group alone")
    parser.add_argument("--skip", metavar="ID", action="append", default=[], help="do not run this check or group")
    parser.add_argument("--strict", action="store_true", help="fail where a recommended check fails as well")
    add_launch_options(parser, config="FILE", timeout=f"seconds for anything but a start; {TIMEOUT:g}")
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ...check import CHECKS, CheckOutcome, Options, Subject, run_checks
    from ...check.report import explain, summarize, to_json, to_junit

    checks = _chosen(CHECKS, options.only, options.skip)
    if options.list:
        write_table(("CHECK", "LEVEL", "STATEMENT"), [(c.id, _level(c), c.statement) for c in checks])
        return 0
    if not options.command:
        raise ConfigError('check takes the command of a plugin: plugmux check "./plugin"')
    launch = parse_one(options.command, on_path=options.on_path)
    subject = Subject(
        await words_of(launch),
        Options(
            startup_timeout=options.startup_timeout,
            timeout=options.timeout or TIMEOUT,
            environ={
                **{name: value for name, value in launch.env.items() if value is not None},
                **variables(options.env),
            },
            configuration=json.dumps(given[launch.name])
            if (given := configurations(options.config, [launch.name]))
            else "",
            services=options.service,
            requests=_requests(options.request),
        ),
    )
    results: list[Result] = []

    def step() -> Step:
        done = len(results)
        return Step(checks[done].id if done < len(checks) else "ending the plugin", done, len(checks))

    async with progress(step):
        async for result in run_checks(subject, checks):
            results.append(result)  # noqa: PERF401 -- `step` reads it meanwhile
    if options.junit:
        _write_file(options.junit, to_junit(results, strict=options.strict))
    if options.json:
        write_json(to_json(results))
    else:
        write_table(HEAD, [(r.outcome.value, r.check.id, _level(r.check), r.message) for r in results])
    failed = [result for result in results if result.outcome is CheckOutcome.FAILED]
    if not options.json:
        for result in failed:
            write_error(explain(result))
        write_error(summarize(results))
    return 1 if any(result.breaks or options.strict for result in failed) else 0


def _write_file(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="utf-8")


def _level(check: Check) -> str:
    return "required" if check.required else "recommended"


def _chosen(checks: Sequence[Check], only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    for name in (*only, *skip):
        if not any(_named(check, [name]) for check in checks):
            raise ConfigError(f"there is no check and no group {name!r}; plugmux check --list tells which there are")
    return [check for check in checks if (not only or _named(check, only)) and not _named(check, skip)]


def _named(check: Check, names: Sequence[str]) -> bool:
    return any(name in (check.id, check.id.partition(".")[0]) for name in names)


def _requests(texts: Sequence[str]) -> dict[str, list[object]]:
    requests: dict[str, list[object]] = {}
    for text in texts:
        method, value = _pair(text, "--request", "SERVICE/METHOD=JSON")
        try:
            requests.setdefault(method.removeprefix("/"), []).append(json.loads(value))
        except ValueError as error:
            raise ConfigError(f"--request {method}: it is not JSON: {error}") from None
    return requests


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"{option} {text!r} is not of the form {form}")
    return name, value
