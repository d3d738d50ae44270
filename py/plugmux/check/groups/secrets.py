"""Checks of secrets providers."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest, GetSecretsResponse

from ...connect import Code
from ...contract.patterns import covers
from ...contract.registration import ID
from ..answer import Answer
from ..check import Group
from ..methods import GET_SECRETS
from ..outcome import Failed, NotApplicable, expect
from ..subject import Subject

__all__ = ["GROUP"]

GROUP = Group("secrets", "How a secrets provider answers GetSecrets; other plugins need none of it.")
NOWHERE = "plugmux-check-of-nothing"
"""A component that no id has."""

TIMES = ("created_at", "resolved_at", "expires_at")


@GROUP.add(
    "get",
    "Asked for its whole pattern, the provider answers with secrets, or with not_found.",
    "A runtime asks it for everything when it is asked itself.",
    required=True,
)
async def get(subject: Subject) -> None:
    await _secrets(subject, await _pattern(subject))


@GROUP.add(
    "ids",
    "The ids of its secrets are well formed, and within the provider's pattern.",
    "A runtime drops all others.",
    required=True,
)
async def ids(subject: Subject) -> None:
    pattern = await _pattern(subject)
    for envelope in (await _secrets(subject, pattern)).envelopes:
        expect(ID.fullmatch(envelope.id), f"the id {envelope.id[:100]!r} is not well formed")
        expect(covers(pattern, envelope.id), f"the id {envelope.id[:100]!r} is not within {pattern!r}")


@GROUP.add(
    "exact",
    "Asked for one id, the provider answers with that secret alone.",
    "Whoever asks for one would get another's value.",
    required=True,
)
async def exact(subject: Subject) -> None:
    everything = (await _secrets(subject, await _pattern(subject))).envelopes
    if not everything:
        raise NotApplicable("it has no secrets to ask for")
    wanted = everything[0].id
    found = [envelope.id for envelope in (await _secrets(subject, wanted)).envelopes]
    expect(found == [wanted], f"asked for {wanted!r} it answered with {found[:5]}")


@GROUP.add(
    "foreign",
    "Asked for what is outside its pattern, the provider gives nothing of it.",
    "A provider must not answer for another's ids.",
    required=True,
)
async def foreign(subject: Subject) -> None:
    pattern = await _pattern(subject)
    wanted = f"{NOWHERE}/x"
    if covers(pattern, wanted):
        raise NotApplicable(f"its pattern {pattern!r} has all ids")
    answer = await _ask(subject, wanted)
    if answer.status == 200:
        found = [envelope.id for envelope in _parsed(answer).envelopes]
        expect(not found, f"asked for {wanted!r} it answered with {found[:5]}")


@GROUP.add(
    "missing",
    "Asked for an id that does not exist, the provider answers with not_found or with nothing.",
    "A runtime skips a provider with another error, and whoever asked takes it for an outage.",
    required=True,
)
async def missing(subject: Subject) -> None:
    pattern = await _pattern(subject)
    if "*" not in pattern:
        raise NotApplicable(f"its pattern {pattern!r} is one id")
    wanted = pattern.replace("**", NOWHERE).replace("*", NOWHERE)
    answer = await _ask(subject, wanted)
    if answer.status == 200:
        expect(not _parsed(answer).envelopes, f"asked for {wanted!r} it answered with a secret")
        return
    expect(answer.error_code() is Code.NOT_FOUND, f"asked for {wanted!r} it answered with {answer}: {answer.shown}")


@GROUP.add(
    "bad-pattern",
    "A pattern that is not well formed is answered with an error, not with secrets.",
    "Taken for another pattern it could match anything.",
    required=True,
)
async def bad_pattern(subject: Subject) -> None:
    await _pattern(subject)
    for wrong in ("", "a**b//", "/"):
        answer = await _ask(subject, wrong)
        if answer.status == 200:
            found = [envelope.id for envelope in _parsed(answer).envelopes]
            expect(not found, f"asked for {wrong!r} it answered with {found[:5]}")


@GROUP.add(
    "attack",
    "A pattern of many wildcards is answered.",
    "A recursive matcher takes exponential time over it: one request stops the plugin.",
    required=False,
)
async def attack(subject: Subject) -> None:
    pattern = await _pattern(subject)
    first = pattern.split("/")[0].replace("*", "a")
    await _ask(subject, "/".join([first, *["**", "a"] * 40, "b"]))


@GROUP.add(
    "unset-times",
    "Times that are not set are absent, or year 1; none is 1970.",
    "Programs in Go read 1970 as a time: a secret that expired then is thrown away.",
    required=False,
)
async def unset_times(subject: Subject) -> None:
    for envelope in (await _secrets(subject, await _pattern(subject))).envelopes:
        for name in TIMES:
            time = getattr(envelope, name)
            expect(
                not envelope.HasField(name) or time.seconds or time.nanos, f"{name} of {envelope.id!r} is 1970-01-01"
            )


async def _pattern(subject: Subject) -> str:
    said = (await subject.shared()).registration
    if not said.HasField("secrets_provider"):
        raise NotApplicable("it is no secrets provider")
    return said.secrets_provider.pattern


async def _ask(subject: Subject, pattern: str) -> Answer:
    host = await subject.shared()
    return await host.fetch(GET_SECRETS, GetSecretsRequest(pattern=pattern).SerializeToString())


async def _secrets(subject: Subject, pattern: str) -> GetSecretsResponse:
    answer = await _ask(subject, pattern)
    if answer.status == 200:
        return _parsed(answer)
    expect(answer.error_code() is Code.NOT_FOUND, f"asked for {pattern!r} it answered with {answer}: {answer.shown}")
    return GetSecretsResponse()


def _parsed(answer: Answer) -> GetSecretsResponse:
    try:
        return GetSecretsResponse.FromString(answer.body)
    except DecodeError:
        raise Failed("the answer is no resolver.v1.GetSecretsResponse") from None
