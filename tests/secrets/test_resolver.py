"""The resolver: whom it asks, what it makes of the answers, and what it tells of them."""

from __future__ import annotations

import asyncio
import logging
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from plugmux_proto.google.protobuf.timestamp_pb2 import Timestamp
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from plugmux.connect import Code, RpcError
from plugmux.errors import ExchangeError
from plugmux.secrets import (
    Account,
    InvalidPattern,
    Outcome,
    Pattern,
    ProviderOutage,
    Resolver,
    Secret,
    SecretNotFound,
)

VALUE = b"hunter2"
NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)

Envelope = GetSecretsResponse.Envelope


def resolver(runtime: Any, **options: Any) -> Resolver:
    return Resolver(runtime, now=lambda: NOW, **options)


def broken() -> RpcError:
    return RpcError(Code.UNAVAILABLE, "the vault\nis sealed")


def nothing() -> RpcError:
    return RpcError(Code.NOT_FOUND, "no such secret")


def outcomes(accounts: tuple[Account, ...]) -> dict[str, Outcome]:
    return {account.plugin: account.outcome for account in accounts}


async def test_a_secret_is_found_by_its_id(runtime: Any) -> None:
    plugin = runtime.add("vault", "vault/**", {"vault/a": VALUE})
    assert await resolver(runtime).get("vault/a") == Secret("vault/a", VALUE, provider="vault", resolved_at=NOW)
    assert [request.pattern for request in plugin.requests] == ["vault/a"]


async def test_only_providers_whose_pattern_includes_the_asked_one_are_asked(runtime: Any) -> None:
    asked = runtime.add("wide", "**", {"vault/a": VALUE})
    others = [runtime.add("other", "other/**"), runtime.add("narrow", "vault/a/b"), runtime.add("generic")]
    await resolver(runtime).get("vault/a")
    assert len(asked.requests) == 1
    assert not any(other.requests for other in others)


@pytest.mark.parametrize(
    ("own", "asked", "sent"),
    [
        ("vault/**", "**", "vault/**"),
        ("vault/a", "**", "vault/a"),
        ("**", "vault/*", "vault/*"),
        ("vault/a", "*/a", "*/a"),  # a literal includes "*"
        ("vault/**", "vault/**", "vault/**"),
        ("other/**", "vault/**", None),
    ],
)
async def test_a_provider_is_asked_with_the_narrower_pattern(
    runtime: Any, own: str, asked: str, sent: str | None
) -> None:
    plugin = runtime.add("vault", own, {"vault/a": VALUE, "vault/b": b"other"})
    found = await resolver(runtime).get_all(asked)
    assert [request.pattern for request in plugin.requests] == ([sent] if sent else [])
    assert [secret.id for secret in found] == [
        id for id in ("vault/a", "vault/b") if sent and Pattern(own).match(id) and Pattern(asked).match(id)
    ]


async def test_an_unset_time_of_resolution_is_now_whichever_way_it_is_unset(runtime: Any) -> None:
    unset = Timestamp()
    unset.FromJsonString("0001-01-01T00:00:00Z")
    envelope = GetSecretsResponse.Envelope
    answer = GetSecretsResponse(
        envelopes=[envelope(id="a", resolved_at=unset, created_at=unset, expires_at=unset), envelope(id="b")]
    )
    runtime.add("vault", "**", answer)
    for secret in await resolver(runtime).get_all("**"):
        assert (secret.resolved_at, secret.created_at, secret.expires_at) == (NOW, None, None)


async def test_results_come_in_the_order_of_names_whoever_is_fast(runtime: Any) -> None:
    slow_may_answer = asyncio.Event()

    async def slow(request: Any) -> GetSecretsResponse:
        await slow_may_answer.wait()
        return GetSecretsResponse(envelopes=[Envelope(id="x/1", value=b"slow"), Envelope(id="x/2", value=b"slow")])

    async def fast(request: Any) -> GetSecretsResponse:
        slow_may_answer.set()
        return GetSecretsResponse(envelopes=[Envelope(id="x/1", value=b"fast")])

    runtime.add("b-fast", "**", fast)
    runtime.add("a-slow", "x/*", slow)
    found = await resolver(runtime).get_all("x/*")
    assert [(secret.id, secret.value, secret.provider) for secret in found] == [
        ("x/1", b"slow", "a-slow"),
        ("x/2", b"slow", "a-slow"),
        ("x/1", b"fast", "b-fast"),
    ]
    assert (await resolver(runtime).get("x/1")).provider == "a-slow"


async def test_the_provider_is_always_named_by_the_registry_and_a_given_time_is_kept(runtime: Any) -> None:
    stamp = Timestamp(seconds=1)
    envelope = Envelope(id="a", value=VALUE, provider="somebody else", resolved_at=stamp)
    runtime.add("vault", "**", GetSecretsResponse(envelopes=[envelope]))
    secret = await resolver(runtime).get("a")
    assert (secret.provider, secret.resolved_at) == ("vault", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))


@pytest.mark.parametrize("options", [{}, {"strict": True}, {"required": ["vault"]}])
async def test_nothing_found_names_who_was_asked(runtime: Any, options: dict[str, Any]) -> None:
    runtime.add("vault", "**", nothing())
    runtime.add("empty", "**", GetSecretsResponse())
    with pytest.raises(SecretNotFound, match=r"no provider has a secret that matches 'a'; asked: empty, vault$"):
        await resolver(runtime, **options).get("a")
    assert await resolver(runtime, **options).get_all("a") == []


async def test_nothing_found_without_any_provider_says_so(runtime: Any) -> None:
    with pytest.raises(SecretNotFound, match="none provides it") as caught:
        await resolver(runtime).get("a")
    assert caught.value.pattern == "a"
    assert isinstance(caught.value, LookupError)


async def test_get_of_a_pattern_gives_the_one_secret_that_matches(runtime: Any) -> None:
    runtime.add("vault", "**", {"a/b": VALUE})
    assert (await resolver(runtime).get("a/*")).id == "a/b"


async def test_get_of_a_pattern_with_several_secrets_names_them_and_no_value(runtime: Any) -> None:
    runtime.add("vault", "**", {f"a/{number}": VALUE for number in range(7)})
    with pytest.raises(SecretNotFound, match=r"matches 7 secrets \(a/0, a/1, a/2, a/3, a/4, \.\.\.\)") as caught:
        await resolver(runtime).get("a/*")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("method", ["get", "get_all", "explain"])
async def test_a_bad_pattern_is_refused_before_anybody_is_asked(runtime: Any, method: str) -> None:
    plugin = runtime.add("vault", "**", {})
    with pytest.raises(InvalidPattern):
        await getattr(resolver(runtime), method)("a//b")
    assert plugin.requests == []


@pytest.mark.parametrize("error", [broken(), ExchangeError("the link broke", sent=True), TimeoutError("too late")])
async def test_an_optional_provider_that_fails_is_logged_and_skipped(
    runtime: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.add("broken", "**", error)
    runtime.add("vault", "**", {"a": VALUE})
    with caplog.at_level(logging.WARNING, "plugmux.secrets"):
        assert (await resolver(runtime).get("a")).provider == "vault"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("plugmux.secrets", logging.WARNING)
    assert "provider broken is skipped for a: " in record.getMessage()
    assert "\n" not in record.getMessage()


async def test_not_found_tells_of_providers_that_failed(runtime: Any) -> None:
    runtime.add("broken", "**", broken())
    with pytest.raises(SecretNotFound, match=r"failed: broken \(unavailable: the vault is sealed\)"):
        await resolver(runtime).get("a")


@pytest.mark.parametrize("options", [{"strict": True}, {"required": ["broken"]}, {"required": "broken"}])
@pytest.mark.parametrize("method", ["get", "get_all"])
async def test_an_outage_of_a_provider_that_must_answer_is_an_error(
    runtime: Any, options: dict[str, Any], method: str
) -> None:
    runtime.add("broken", "**", broken())
    runtime.add("vault", "**", {"a": VALUE})
    with pytest.raises(ProviderOutage, match="broken: unavailable: the vault is sealed") as caught:
        await getattr(resolver(runtime, **options), method)("a")
    assert caught.value.outages == {"broken": "unavailable: the vault is sealed"}
    assert caught.value.pattern == "a"
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_required_provider_that_is_not_concerned_does_not_matter(runtime: Any) -> None:
    runtime.add("other", "other/**", broken(), state="GAVE_UP")
    runtime.add("vault", "**", {"a": VALUE})
    assert (await resolver(runtime, strict=True, required=["other"]).get("a")).provider == "vault"


async def test_a_required_plugin_that_the_runtime_does_not_know_is_an_outage(runtime: Any) -> None:
    runtime.add("vault", "**", {"a": VALUE})
    with pytest.raises(ProviderOutage, match="missing: the runtime has no plugin of this name"):
        await resolver(runtime, required=["missing", "vault"]).get("a")


@pytest.mark.parametrize(
    ("plugin", "optional", "strict", "required"),
    [
        # state, registered, a provider at all; then what becomes of it for each kind of resolver
        (("CRASHED", True, True), Outcome.FAILED, Outcome.ANSWERED, Outcome.ANSWERED),
        (("BACKING_OFF", True, True), Outcome.FAILED, Outcome.ANSWERED, Outcome.ANSWERED),
        (("BACKING_OFF", False, True), Outcome.SKIPPED, Outcome.ANSWERED, Outcome.ANSWERED),
        (("GAVE_UP", True, True), Outcome.FAILED, Outcome.FAILED, Outcome.FAILED),
        (("GAVE_UP", False, True), Outcome.SKIPPED, Outcome.FAILED, Outcome.FAILED),
        (("DISABLED", True, True), Outcome.SKIPPED, Outcome.SKIPPED, Outcome.FAILED),
        (("STOPPED", False, True), Outcome.SKIPPED, Outcome.SKIPPED, Outcome.FAILED),
        (("RUNNING", True, False), Outcome.SKIPPED, Outcome.SKIPPED, Outcome.FAILED),
        (("GAVE_UP", True, False), Outcome.SKIPPED, Outcome.SKIPPED, Outcome.FAILED),
        (("RUNNING", True, True), Outcome.ANSWERED, Outcome.ANSWERED, Outcome.ANSWERED),
    ],
)
async def test_what_becomes_of_a_plugin_depends_on_its_state_and_on_who_must_answer(
    runtime: Any, plugin: tuple[str, bool, bool], optional: Outcome, strict: Outcome, required: Outcome
) -> None:
    state, registered, provides = plugin
    pattern = "**" if provides else None
    runtime.add("it", pattern, {"a": VALUE}, state=state, registered=registered, status="exit 3")
    expected = {"it": optional}, {"it": strict}, {"it": required}
    options: tuple[dict[str, Any], ...] = ({}, {"strict": True}, {"required": ["it"]})
    for option, outcome in zip(options, expected, strict=True):
        explanation = await resolver(runtime, **option).explain("a")
        assert outcomes(explanation.accounts) == outcome, option
    if state == "GAVE_UP" and provides:
        assert explanation.accounts[0].reason == "it does not run (gave up: exit 3)"


@pytest.mark.parametrize("states", [("RUNNING", "CRASHED"), ("CRASHED", "RUNNING"), ("RUNNING", "RUNNING")])
async def test_replicas_are_one_provider_which_answers_while_any_runs(runtime: Any, states: tuple[str, str]) -> None:
    for state in states:
        runtime.add("vault", "**", {"a": VALUE}, state=state)
    (account,) = (await resolver(runtime).explain("a")).accounts
    assert (account.outcome, account.found) == (Outcome.ANSWERED, 1)


async def test_each_provider_is_given_the_time_limit(runtime: Any) -> None:
    plugins = [runtime.add(name, "**", {}) for name in ("a", "b")]
    await resolver(runtime, timeout=2.5).get_all("x")
    assert [plugin.timeouts for plugin in plugins] == [[2.5], [2.5]]


async def test_secrets_that_were_not_asked_for_or_are_not_well_formed_are_left_out(
    runtime: Any, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.add("vault", "a/**", {"a/b": b"1", "a/c/d": b"not-asked", "b/b": b"not-its-own", "a/*": b"no-id"})
    with caplog.at_level(logging.WARNING, "plugmux.secrets"):
        found = await resolver(runtime).get_all("a/*")
    assert [secret.value for secret in found] == [b"1"]
    assert "provider vault returned 3 secrets that it was not asked for or cannot have" in caplog.text
    assert "not-asked" not in caplog.text


async def test_a_provider_that_gives_only_what_was_not_asked_for_has_none(runtime: Any) -> None:
    runtime.add("vault", "**", {"b": VALUE})
    (account,) = (await resolver(runtime).explain("a")).accounts
    assert (account.outcome, account.found) == (Outcome.HAS_NONE, 0)
    assert account.reason == "it gave 0 secrets, and 1 that it was not asked for or cannot give"


async def test_cancelling_a_call_cancels_it_at_every_provider(runtime: Any) -> None:
    asked, cancelled = asyncio.Semaphore(0), []

    async def hang(request: Any) -> GetSecretsResponse:
        asked.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(request.pattern)
            raise
        raise AssertionError("not reached")

    runtime.add("a", "**", hang)
    runtime.add("b", "**", hang)
    call = asyncio.create_task(resolver(runtime).get("x"))
    await asked.acquire()
    await asked.acquire()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert cancelled == ["x", "x"]


async def test_an_explanation_tells_of_every_plugin_and_of_no_value(runtime: Any) -> None:
    runtime.add("answers", "**", {"a": VALUE})
    runtime.add("broken", "a", broken())
    runtime.add("empty", "*", nothing())
    runtime.add("generic")
    runtime.add("other", "other/**")
    explanation = await resolver(runtime, required=["missing"]).explain("a")
    assert explanation.found == 1
    assert explanation.outages == {"missing": "the runtime has no plugin of this name"}
    assert str(explanation).splitlines() == [
        "PLUGIN   PATTERN   OUTCOME   WHY",
        "answers  **        answered  it gave 1 secret",
        "broken   a         failed    unavailable: the vault is sealed",
        "empty    *         has none  it has no secret that matches",
        "generic  -         skipped   it is not a secrets provider",
        "missing  -         failed    the runtime has no plugin of this name",
        "other    other/**  skipped   its pattern does not include what is asked for",
    ]
    assert "hunter2" not in repr(explanation)


async def test_a_long_reason_of_a_plugin_is_cut(runtime: Any) -> None:
    runtime.add("broken", "**", RpcError(Code.INTERNAL, "x" * 10_000))
    (account,) = (await resolver(runtime).explain("a")).accounts
    assert len(account.reason) < 400
    assert account.reason.endswith("...")


async def test_a_mistake_in_the_resolver_itself_is_not_taken_for_an_outage(runtime: Any) -> None:
    for name in ("vault", "other"):
        runtime.add(name, "**", ZeroDivisionError("a defect"))
        with pytest.raises(ZeroDivisionError):
            await resolver(runtime).get("a")


def test_the_clock_is_utc_by_default(runtime: Any) -> None:
    assert Resolver(runtime)._now().tzinfo is UTC


async def test_a_pattern_is_parsed_once_for_each_that_a_provider_registers(
    runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = runtime.add("vault", "vault/**", {"vault/a": VALUE})
    resolves, asked = resolver(runtime), Pattern("vault/a")
    check, parsed = Pattern.__post_init__, list[str]()

    def tell(pattern: Pattern) -> None:
        parsed.append(pattern.text)
        check(pattern)

    monkeypatch.setattr(Pattern, "__post_init__", tell)
    for _ in range(3):
        await resolves.get(asked)
    assert parsed == ["vault/**"]

    vault.registration = replace(vault.registration, secrets_pattern="other/**")
    with pytest.raises(SecretNotFound):
        await resolves.get(asked)
    assert parsed == ["vault/**", "other/**"]

    runtime.remove("vault")
    with pytest.raises(SecretNotFound):
        await resolves.get(asked)
    runtime.add("vault", "other/**")
    with pytest.raises(SecretNotFound):
        await resolves.get(asked)
    assert parsed == ["vault/**", "other/**", "other/**"], "what is gone is forgotten"


async def test_what_a_provider_may_have_is_what_it_has_registered_when_it_answers(runtime: Any) -> None:
    async def narrow(request: Any) -> GetSecretsResponse:
        vault.registration = replace(vault.registration, secrets_pattern="other/**")
        return GetSecretsResponse(envelopes=[Envelope(id="vault/a", value=VALUE)])

    vault = runtime.add("vault", "vault/**", narrow)
    with pytest.raises(SecretNotFound):
        await resolver(runtime).get("vault/a")
