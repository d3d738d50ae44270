"""The results of checks as JSON, as JUnit's XML and in words, and the page that tells of all checks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from .check import Check, Group
from .suite import CheckOutcome, Result

__all__ = ["PAGE", "explain", "summarize", "to_json", "to_junit", "to_page"]

PAGE = "docs/check.md"
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD = """\
# The checks of `plugmux check`

*For authors of plugins, and of SDKs: what is checked in CI, and why each check matters.*

```
plugmux check "./my-plugin --its-option"
```

launches a plugin of any language as a runtime does, and holds it against the wire. Each check is one statement. What is
*required* is the wire itself: a plugin that passes works under every runtime of this wire, and the exit status is 0.
What is *recommended* is what plugmux' own SDKs do; with `--strict` it is required too. A check of what a plugin does
not have is skipped, and the result says what is missing.

It **calls the plugin's methods**: those that reflection tells of with a message without fields, or with
`--request SERVICE/METHOD=JSON` (several times for a method that takes a stream). Give a plugin that would do harm a
configuration for tests (`--env`), or name the services to call (`--service`).

In CI, `--junit FILE` writes a report that most systems show, and `--json` prints one. `--only` and `--skip` take ids of
checks or groups. No check judges by a short time: what does not come is waited for `--timeout` seconds (30), a start
`--startup-timeout` (60).
"""


def summarize(results: Iterable[Result]) -> str:
    """How many checks ended how, in one line."""
    counts = Counter(result.outcome for result in results)
    required = sum(result.breaks for result in results)
    failed = f"{counts[CheckOutcome.FAILED]} failed"
    if counts[CheckOutcome.FAILED]:
        failed += f" ({required} required, {counts[CheckOutcome.FAILED] - required} recommended)"
    return f"{counts[CheckOutcome.PASSED]} passed, {failed}, {counts[CheckOutcome.SKIPPED]} skipped"


def explain(result: Result) -> str:
    """What a check that failed says, what the plugin did, why it matters, and where to read on."""
    check = result.check
    return "\n".join(
        [
            f"{check.id} ({_level(check)}): {check.statement}",
            f"  But: {result.message}",
            f"  Why it matters: {check.why}",
            f"  See {PAGE}#{check.anchor}",
        ]
    )


def to_json(results: Sequence[Result]) -> dict[str, object]:
    """The results as an object for JSON."""
    return {
        "passed": not any(result.breaks for result in results),
        "checks": [
            {
                "id": result.check.id,
                "statement": result.check.statement,
                "required": result.check.required,
                "outcome": result.outcome.value,
                "message": result.message,
                "seconds": round(result.seconds, 3),
                "page": f"{PAGE}#{result.check.anchor}",
            }
            for result in results
        ],
    }


def to_junit(results: Sequence[Result], *, strict: bool = False) -> str:
    """The results as JUnit's XML: one suite for each group; a recommended check that failed is skipped there.

    Args:
        results: the results.
        strict: whether recommended checks that failed are failures as well.
    """
    root = ElementTree.Element("testsuites", name="plugmux check")
    suites: dict[str, ElementTree.Element] = {}
    for result in results:
        group, _, name = result.check.id.partition(".")
        if group not in suites:
            suites[group] = ElementTree.SubElement(root, "testsuite", name=f"plugmux.{group}")
        case = ElementTree.SubElement(
            suites[group], "testcase", classname=f"plugmux.{group}", name=name, time=f"{result.seconds:.3f}"
        )
        if result.outcome is CheckOutcome.PASSED:
            continue
        fails = result.outcome is CheckOutcome.FAILED and (strict or result.check.required)
        message = (
            result.message if fails or result.outcome is CheckOutcome.SKIPPED else f"recommended: {result.message}"
        )
        told = ElementTree.SubElement(case, "failure" if fails else "skipped", message=_NOT_IN_XML.sub("?", message))
        told.text = _NOT_IN_XML.sub("?", explain(result)) if result.outcome is CheckOutcome.FAILED else None
    for suite in suites.values():
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
        suite.set("errors", "0")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def to_page(groups: Sequence[Group]) -> str:
    """The page of all checks, in Markdown, with an anchor for each."""
    parts = [_HEAD]
    for group in groups:
        parts.append(f"## {group.name}\n\n{group.title}\n")
        parts.extend(
            f'<a id="{check.anchor}"></a>\n\n**`{check.id}`** ({_level(check)}): {check.statement}\n\n{check.why}\n'
            for check in group.checks
        )
    return "\n".join(parts)


def _level(check: Check) -> str:
    return "required" if check.required else "recommended"
