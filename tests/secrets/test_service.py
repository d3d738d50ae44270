"""The runtime's socket: secrets for those who may ask, and the question whether one may."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from plugmux_proto.accesscontrol.v1.accesscontrol_connect import AccessControlClient
from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import AuthorizeRequest as ModuleQuestion
from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import AuthorizeResponse as ModuleAnswer
from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import CheckAccessRequest, CheckAccessResponse, Requester
from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import Decision as ModuleDecision
from plugmux_proto.google.protobuf.timestamp_pb2 import Timestamp
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest
from plugmux_proto.resolver.v1.resolver_pb2 import AuthorizeRequest, Decision, GetSecretsRequest, GetSecretsResponse

from plugmux.connect import App, Code, Context, RpcError
from plugmux.secrets import AccessModule, Explanation, Outcome, Pattern, Resolver, secrets_services
from plugmux.secrets.access import requester
from support.app_transport import AppTransport

VALUE = b"hunter2"
SOON = datetime(2030, 1, 1, tzinfo=UTC)
LATER = SOON + timedelta(hours=1)

ALLOW = ModuleAnswer(decision=ModuleDecision.DECISION_ALLOW)
DENY = ModuleAnswer()


def allow_until(time: datetime) -> ModuleAnswer:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return ModuleAnswer(decision=ModuleDecision.DECISION_ALLOW, expires_at=stamp)


def caller(pid: int | None = None) -> Context:
    return Context(connection={} if pid is None else {"peer": SimpleNamespace(pid=pid)})


def remote(*granted: str) -> Context:
    """Who calls over a network, and has been granted secrets of some patterns."""
    return Context(connection={"secrets": granted})


async def get(runtime: Any, pattern: str, context: Context | None = None, **options: Any) -> list[tuple[str, bytes]]:
    resolve: Any = secrets_services(runtime, Resolver(runtime, **options))[0]
    response = await resolve.get_secrets(GetSecretsRequest(pattern=pattern), context or caller())
    return [(envelope.id, envelope.value) for envelope in response.envelopes]


async def authorize(runtime: Any, *patterns: str, context: Context | None = None) -> Any:
    service: Any = secrets_services(runtime, Resolver(runtime))[1]
    return await service.authorize(AuthorizeRequest(patterns=patterns), context or caller())


async def test_secrets_are_served(runtime: Any) -> None:
    runtime.add("vault", "**", {"a/b": VALUE, "a/c": VALUE})
    assert await get(runtime, "a/*") == [("a/b", VALUE), ("a/c", VALUE)]


async def test_an_explanation_crosses_the_wire_whole(runtime: Any) -> None:
    runtime.add("answers", "**", {"a": VALUE})
    runtime.add("broken", "a", RpcError(Code.INTERNAL, "sealed"))
    runtime.add("empty", "**", RpcError(Code.NOT_FOUND))
    runtime.add("generic")
    resolve: Any = secrets_services(runtime, Resolver(runtime, strict=True))[0]
    response = await resolve.get_secrets(GetSecretsRequest(pattern="a", explain=True), caller())
    assert not response.envelopes
    received = GetSecretsResponse.FromString(response.SerializeToString()).accounts
    assert Explanation.from_accounts(Pattern("a"), received) == await Resolver(runtime, strict=True).explain("a")


def test_an_outcome_of_a_later_version_counts_as_a_failure() -> None:
    (account,) = Explanation.from_accounts(Pattern("a"), [GetSecretsResponse.Account(outcome=99)]).accounts  # type: ignore[arg-type]
    assert account.outcome is Outcome.FAILED


async def test_explaining_needs_the_same_leave_as_getting(runtime: Any) -> None:
    runtime.add("gate", script=DENY, access_control=True)
    resolve: Any = secrets_services(runtime, Resolver(runtime))[0]
    with pytest.raises(RpcError, match="access to a is denied"):
        await resolve.get_secrets(GetSecretsRequest(pattern="a", explain=True), caller())


async def test_nothing_found_is_the_code_not_found(runtime: Any) -> None:
    runtime.add("vault", "**", RpcError(Code.NOT_FOUND))
    with pytest.raises(RpcError) as caught:
        await get(runtime, "a")
    assert caught.value.code is Code.NOT_FOUND


@pytest.mark.parametrize("pattern", ["", "a//b", "a*"])
async def test_a_bad_pattern_is_the_code_invalid_argument(runtime: Any, pattern: str) -> None:
    for answer in (get(runtime, pattern), authorize(runtime, "a", pattern)):
        with pytest.raises(RpcError) as caught:
            await answer
        assert caught.value.code is Code.INVALID_ARGUMENT


async def test_an_outage_is_the_code_unavailable_and_names_the_plugin(runtime: Any) -> None:
    runtime.add("vault", "**", RpcError(Code.INTERNAL, "sealed"))
    with pytest.raises(RpcError, match="vault: internal: sealed") as caught:
        await get(runtime, "a", strict=True)
    assert caught.value.code is Code.UNAVAILABLE


async def test_without_an_access_control_plugin_everything_is_allowed(runtime: Any) -> None:
    runtime.add("vault", "**", {"a": VALUE})
    response = await authorize(runtime, "a", "b/**")
    assert response.decision == Decision.DECISION_ALLOW
    assert not response.HasField("expires_at")


@pytest.mark.parametrize(
    ("answers", "allowed"),
    [
        ([ALLOW], True),
        ([ALLOW, ALLOW], True),
        ([DENY], False),
        ([ALLOW, DENY], False),
        ([ALLOW, RpcError(Code.INTERNAL, "hm")], False),
        ([TimeoutError()], False),
        ([ModuleAnswer(decision=7)], False),  # type: ignore[arg-type]  # no decision
    ],
)
async def test_every_access_control_plugin_must_allow(runtime: Any, answers: list[Any], allowed: bool) -> None:
    vault = runtime.add("vault", "**", {"a": VALUE})
    for number, answer in enumerate(answers):
        runtime.add(f"gate{number}", script=answer, access_control=True)
    assert (await authorize(runtime, "a")).decision == int(allowed)
    if allowed:
        assert await get(runtime, "a") == [("a", VALUE)]
    else:
        with pytest.raises(RpcError, match="access to a is denied; access-control plugin gate") as caught:
            await get(runtime, "a")
        assert caught.value.code is Code.PERMISSION_DENIED
        assert vault.requests == []


@pytest.mark.parametrize(("check", "ahead"), [(DENY, ALLOW), (ALLOW, DENY)])
async def test_each_request_is_checked_whatever_was_answered_ahead(runtime: Any, check: Any, ahead: Any) -> None:
    runtime.add("vault", "**", {"a": VALUE})
    gate = runtime.add("gate", script=ahead, check=check, access_control=True)
    assert (await authorize(runtime, "a")).decision == int(ahead is ALLOW)
    if check is ALLOW:
        assert await get(runtime, "a") == await get(runtime, "a") == [("a", VALUE)]
        assert [type(request) for request in gate.requests[1:]] == [CheckAccessRequest] * 2
    else:
        with pytest.raises(RpcError, match="access to a is denied; access-control plugin gate: it refused"):
            await get(runtime, "a")


async def test_an_answer_that_cannot_be_read_allows_nothing(runtime: Any) -> None:
    answer = ModuleAnswer(decision=ModuleDecision.DECISION_ALLOW, expires_at=Timestamp(seconds=2**62))
    runtime.add("gate", script=answer, access_control=True)
    assert (await authorize(runtime, "a")).decision == Decision.DECISION_DENY


async def test_a_module_that_the_host_names_denies_until_it_is_there(runtime: Any) -> None:
    runtime.add("vault", "**", {"a": VALUE})
    runtime.access_control.add("gate")
    with pytest.raises(RpcError, match="access-control plugin gate: it has not registered"):
        await get(runtime, "a")
    assert (await authorize(runtime, "a")).decision == Decision.DECISION_DENY
    gate = runtime.add("gate", state="STARTING", registered=False)
    with pytest.raises(RpcError, match="access-control plugin gate: it does not run"):
        await get(runtime, "a")
    assert gate.requests == []


async def test_to_ask_ahead_for_nothing_is_invalid(runtime: Any) -> None:
    with pytest.raises(RpcError) as caught:
        await authorize(runtime)
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("granted", "asked"),
    [("a/b", "a/*"), ("a/b", "**"), ("a/b", "*/b"), ("a/*", "a/**"), ("a/*/c", "a/**/c"), ("a/b", "a/c"), ("", "a/b")],
)
async def test_who_calls_over_a_network_gets_no_more_than_was_granted(runtime: Any, granted: str, asked: str) -> None:
    vault = runtime.add("vault", "**", {"a/b": VALUE, "a/c": VALUE})
    context = remote(*filter(None, [granted]))
    for answer in (get(runtime, asked, context), authorize(runtime, asked, context=context)):
        with pytest.raises(RpcError, match="the host has not granted") as caught:
            await answer
        assert caught.value.code is Code.PERMISSION_DENIED
    assert vault.requests == []


@pytest.mark.parametrize(("granted", "asked"), [("a/b", "a/b"), ("a/*", "a/*"), ("a/**", "a/*"), ("**", "a/b")])
async def test_who_calls_over_a_network_gets_what_was_granted(runtime: Any, granted: str, asked: str) -> None:
    runtime.add("vault", "**", {"a/b": VALUE})
    assert await get(runtime, asked, remote("z", granted)) == [("a/b", VALUE)]
    assert (await authorize(runtime, asked, context=remote("z", granted))).decision == Decision.DECISION_ALLOW


class ByCheck(AccessModule):
    def check_access(self, request: CheckAccessRequest, context: Any) -> CheckAccessResponse:  # type: ignore[override]
        return CheckAccessResponse(decision=ALLOW.decision if request.pattern == "a" else DENY.decision)


class ByAuthorize(AccessModule):
    async def authorize(self, request: Any, context: Any) -> ModuleAnswer:
        return ALLOW if list(request.patterns) == ["a"] else DENY


@pytest.mark.parametrize("module", [ByCheck(), ByAuthorize()])
async def test_a_module_that_answers_one_question_answers_the_other(module: Any) -> None:
    client = AccessControlClient(AppTransport(App([module])))
    for pattern, decision in (("a", ALLOW.decision), ("b", DENY.decision)):
        assert (await client.check_access(CheckAccessRequest(pattern=pattern))).decision == decision
        assert (await client.authorize(ModuleQuestion(patterns=[pattern]))).decision == decision


async def test_a_module_that_answers_nothing_decides_nothing() -> None:
    client = AccessControlClient(AppTransport(App([AccessModule()])))
    with pytest.raises(RpcError, match="AccessModule does not define check_access") as caught:
        await client.check_access(CheckAccessRequest(pattern="a"))
    assert caught.value.code is Code.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        ("STARTING", False),
        ("STOPPING", False),
        ("CRASHED", False),
        ("GAVE_UP", False),
        ("BACKING_OFF", False),
        ("DISABLED", True),
        ("STOPPED", True),
    ],
)
async def test_an_access_control_plugin_that_is_down_denies_unless_it_was_switched_off(
    runtime: Any, state: str, allowed: bool
) -> None:
    gate = runtime.add("gate", script=ALLOW, access_control=True, state=state)
    assert (await authorize(runtime, "a")).decision == int(allowed)
    assert gate.requests == []


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([allow_until(SOON)], SOON),
        ([allow_until(LATER), allow_until(SOON)], SOON),
        ([allow_until(SOON), ALLOW], None),
    ],
)
async def test_leave_ends_when_the_first_plugin_says(runtime: Any, answers: list[Any], expected: datetime) -> None:
    for number, answer in enumerate(answers):
        runtime.add(f"gate{number}", script=answer, access_control=True)
    response = await authorize(runtime, "a")
    given = response.expires_at.ToDatetime(tzinfo=UTC) if response.HasField("expires_at") else None
    assert given == expected


async def test_access_control_plugins_learn_the_patterns_and_the_process_that_asks(runtime: Any) -> None:
    runtime.add("vault", "**", {"a": VALUE})
    gate = runtime.add("gate", script=ALLOW, access_control=True)
    await authorize(runtime, "a", "b/*", context=caller(os.getpid()))
    await get(runtime, "a", caller())
    known, unknown = gate.requests
    assert known.patterns == ["a", "b/*"]
    assert (known.requester.pid, known.requester.name) == (os.getpid(), os.path.basename(os.readlink("/proc/self/exe")))
    assert unknown.pattern == "a"
    assert not unknown.HasField("requester")


def test_a_process_that_is_gone_is_known_by_its_number_alone() -> None:
    gone = 2**22 + 1  # over the largest process id of Linux
    assert requester(gone) == Requester(pid=gone)
    assert requester(None) is None


async def test_too_many_patterns_at_once_are_refused(runtime: Any) -> None:
    with pytest.raises(RpcError, match="257 patterns at once, over the limit of 256"):
        await authorize(runtime, *["a"] * 257)


def test_an_access_module_says_at_registration_what_it_is() -> None:
    request = RegisterPluginRequest()
    AccessModule().announce(request)
    assert request.WhichOneof("metadata") == "access_control_module"
