"""Checks of what the plugin lets out, and what it keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..check import Group
from ..ended import MARK, end_in_order
from ..outcome import NotApplicable, expect
from ..subject import Subject

__all__ = ["GROUP"]

GROUP = Group("hygiene", "What the plugin lets out, and what it keeps.")
SHORTEST_VALUE = 4
"""Characters of a value that can be told from other text."""

CALLS = 300
STACKS = ("Traceback (most recent call last)", "panic: ", "goroutine ", "UnhandledPromiseRejection")
TRACES = (*STACKS, 'File "', ".go:", "    at ")


@GROUP.add(
    "values",
    "Values of secrets are not printed.",
    "What a plugin prints is logged, and logs are read by many.",
    required=False,
)
async def values(subject: Subject) -> None:
    if not (await subject.shared()).registration.HasField("secrets_provider"):
        raise NotApplicable("it is no secrets provider")
    ended = await end_in_order(subject)
    texts = [text for text in ended.secrets if len(text) >= SHORTEST_VALUE]
    if not texts:
        raise NotApplicable("it gave no secret whose value could be told from other text")
    expect(not any(text in ended.printed for text in texts), "the value of a secret stands in what it printed")


@GROUP.add(
    "configuration",
    "Texts of the configuration are not printed.",
    "Passwords and tokens stand there.",
    required=False,
)
async def configuration(subject: Subject) -> None:
    texts = [text for text in _texts(json.loads(subject.options.configuration or "{}")) if len(text) >= SHORTEST_VALUE]
    if not texts:
        raise NotApplicable("there is no configuration with a text (--config)")
    printed = (await end_in_order(subject)).printed
    expect(not any(text in printed for text in texts), "a text of its configuration stands in what it printed")


def _texts(value: object) -> Iterator[str]:
    """The texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


@GROUP.add(
    "requests",
    "What stood in a request that could not be read is not printed.",
    "Requests carry passwords and tokens, also those that are malformed.",
    required=False,
)
async def requests(subject: Subject) -> None:
    printed = (await end_in_order(subject)).printed
    expect(MARK not in printed, "a malformed request stands in what it printed")


@GROUP.add(
    "error-text",
    "The messages of errors tell callers nothing of the plugin's source.",
    "Stacks and file names are for the plugin's log; callers may be strangers.",
    required=False,
)
async def error_text(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    answer = await (await subject.shared()).fetch(method.path, b"\xff" * 16, content_type="application/proto")
    text = answer.body.decode("utf-8", "replace").replace('\\"', '"')
    found = [trace for trace in TRACES if trace in text]
    expect(not found, f"the error's message has {found[0] if found else ''!r} in it")


@GROUP.add(
    "descriptors",
    "The plugin has no more descriptors open after many calls.",
    "One that is left open by each call ends a plugin within a day.",
    required=False,
)
async def descriptors(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    host = await subject.shared()
    for _ in range(10):
        await host.fetch(method.path, method.body, content_type=method.content_type)
    before = len(host.program.descriptors())
    for _ in range(CALLS):
        await host.fetch(method.path, method.body, content_type=method.content_type)
    after = len(host.program.descriptors())
    expect(after < before + CALLS // 2, f"it had {before} open, and {after} after {CALLS} calls")


@GROUP.add(
    "quiet-end",
    "An end in order prints no stack.",
    "Who reads the log takes it for a crash.",
    required=False,
)
async def quiet_end(subject: Subject) -> None:
    ended = await end_in_order(subject)
    found = [trace for trace in STACKS if trace in ended.printed]
    expect(not found, f"it printed {', '.join(found)}{ended.stderr_tail}")
