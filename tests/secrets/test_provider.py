"""Providers: the forms that `get_secrets` may have, what is left out, and what they say at registration."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from typing import Any

import pytest
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest, GetSecretsResponse

from plugmux.connect import Code, Context, RpcError
from plugmux.errors import ConfigError
from plugmux.secrets import InvalidPattern, Pattern, Provider, Secret, SecretNotFound

VALUE = b"hunter2"
LOOP_THREAD = threading.main_thread()
FOUND = [Secret("vault/a", VALUE, version="3"), Secret("vault/b", VALUE)]


class AsyncGenerator(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern: Pattern) -> AsyncIterator[Secret]:
        assert threading.current_thread() is LOOP_THREAD
        for secret in FOUND:
            yield secret


class AsyncFunction(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern: Pattern) -> list[Secret]:
        assert threading.current_thread() is LOOP_THREAD
        return FOUND


class Generator(Provider):
    pattern = "vault/**"

    def get_secrets(self, pattern: Pattern) -> Iterator[Secret]:
        assert threading.current_thread() is not LOOP_THREAD
        yield from FOUND


class Function(Provider):
    pattern = "vault/**"

    def get_secrets(self, pattern: Pattern) -> Iterable[Secret]:
        assert threading.current_thread() is not LOOP_THREAD
        return FOUND


class FunctionOfAsyncGenerator(Provider):
    pattern = "vault/**"

    def get_secrets(self, pattern: Pattern) -> AsyncIterator[Secret]:
        return AsyncGenerator().get_secrets(pattern)


class FunctionOfAwaitable(Provider):
    pattern = "vault/**"

    def get_secrets(self, pattern: Pattern) -> Awaitable[Iterable[Secret]]:
        return AsyncFunction().get_secrets(pattern)


class Scripted(Provider):
    """Raises, or gives what it is told to."""

    pattern = "vault/**"

    def __init__(self, script: Any) -> None:
        self._script = script

    async def get_secrets(self, pattern: Pattern) -> Any:
        if isinstance(self._script, Exception):
            raise self._script
        return self._script


async def ask(provider: Provider, pattern: str) -> GetSecretsResponse:
    (service,) = provider.plugmux_services()
    response: GetSecretsResponse = await service.get_secrets(GetSecretsRequest(pattern=pattern), Context())  # type: ignore[attr-defined]
    return response


EVERY_FORM = [AsyncGenerator, AsyncFunction, Generator, Function, FunctionOfAsyncGenerator, FunctionOfAwaitable]


@pytest.mark.parametrize("form", EVERY_FORM)
async def test_every_form_of_get_secrets_is_served(form: type[Provider]) -> None:
    response = await ask(form(), "vault/*")
    assert [Secret.from_envelope(envelope) for envelope in response.envelopes] == FOUND


@pytest.mark.parametrize("form", EVERY_FORM)
async def test_only_what_is_asked_for_is_given(form: type[Provider], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "plugmux.secrets"):
        response = await ask(form(), "vault/b")
    assert [envelope.id for envelope in response.envelopes] == ["vault/b"]
    assert "gave 1 secrets that vault/b" in caplog.text
    assert "hunter2" not in caplog.text


async def test_what_the_own_pattern_does_not_match_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RpcError) as caught:
        await ask(Scripted([Secret("env/a", VALUE)]), "**")
    assert caught.value.code is Code.NOT_FOUND
    assert "hunter2" not in caplog.text + str(caught.value)


@pytest.mark.parametrize("script", [[], SecretNotFound("none", pattern="vault/a")])
async def test_nothing_found_is_the_code_not_found(script: Any) -> None:
    with pytest.raises(RpcError) as caught:
        await ask(Scripted(script), "vault/a")
    assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, "no secret matches vault/a")


async def test_a_bad_pattern_is_the_code_invalid_argument() -> None:
    with pytest.raises(RpcError) as caught:
        await ask(AsyncGenerator(), "vault//a")
    assert caught.value.code is Code.INVALID_ARGUMENT


async def test_an_error_of_the_provider_passes_as_it_is() -> None:
    with pytest.raises(RpcError, match="sealed"):
        await ask(Scripted(RpcError(Code.UNAVAILABLE, "sealed")), "vault/a")


@pytest.mark.parametrize("given", [[b"hunter2"], ["hunter2"], [("vault/a", "hunter2")]])
async def test_what_is_no_secret_is_refused_by_its_type_alone(given: Any) -> None:
    with pytest.raises(TypeError, match="must give Secret objects, not") as caught:
        await ask(Scripted(given), "vault/a")
    assert "hunter2" not in str(caught.value)


async def test_an_async_generator_is_asked_with_a_pattern_object() -> None:
    seen = []

    class Curious(Provider):
        pattern = "a/**"

        async def get_secrets(self, pattern: Pattern) -> AsyncIterator[Secret]:
            seen.append(pattern)
            yield Secret("a/b", VALUE)

    await ask(Curious(), "a/b")
    assert seen == [Pattern("a/b")]


def test_registration_tells_the_pattern_and_nothing_else() -> None:
    request = RegisterPluginRequest()
    AsyncGenerator().announce(request)
    assert request == RegisterPluginRequest(secrets_provider={"pattern": "vault/**"})


def test_the_service_is_the_same_at_every_call() -> None:
    provider = AsyncGenerator()
    assert provider.plugmux_services() is provider.plugmux_services()
    assert provider.plugmux_services()[0].spec.name == "resolver.v1.ResolverService"


def test_a_pattern_may_be_chosen_per_instance() -> None:
    class Configured(Provider):
        def __init__(self, pattern: str) -> None:
            self.pattern = pattern

    request = RegisterPluginRequest()
    Configured("team-a/**").announce(request)
    assert request.secrets_provider.pattern == "team-a/**"
    with pytest.raises(InvalidPattern):
        Configured("team-a/").plugmux_services()


def test_a_bad_pattern_is_refused_by_the_class_statement() -> None:
    with pytest.raises(InvalidPattern):

        class Wrong(Provider):
            pattern = "vault//**"


def test_a_provider_without_a_pattern_says_what_to_do() -> None:
    class Forgetful(Provider):
        pass

    with pytest.raises(ConfigError, match="Forgetful has no pattern; set one"):
        Forgetful().plugmux_services()


async def test_a_provider_without_get_secrets_says_so() -> None:
    class Empty(Provider):
        pattern = "**"

    with pytest.raises(NotImplementedError, match="Empty does not define get_secrets"):
        await ask(Empty(), "a")
