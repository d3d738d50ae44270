"""The blocking runtime has all that the asynchronous one has."""

from __future__ import annotations

import inspect
import types

import pytest
from kv.v1.kv_connect import KeyValueClient, KeyValueService, KeyValueSyncClient
from kv.v1.kv_pb2 import GetRequest, GetResponse

import plugmux
from plugmux import runtime, sync
from plugmux.connect import Context


class Store(KeyValueService):
    def get(self, request: GetRequest, context: Context) -> GetResponse:
        return GetResponse(value=b"here")


METHODS = [
    name
    for name, value in vars(plugmux.Runtime).items()
    if not name.startswith("_") and isinstance(value, types.FunctionType | property)
]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_blocking_twin_with_the_same_arguments(name: str) -> None:
    ours, theirs = getattr(sync.Runtime, name), getattr(plugmux.Runtime, name)
    if isinstance(theirs, property):
        assert isinstance(ours, property)
        return
    assert not inspect.iscoroutinefunction(ours)
    wanted = inspect.signature(theirs).parameters
    given = inspect.signature(ours).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in given.values())
    for parameter in wanted.values():
        twin = given.get(parameter.name)
        if twin is None:
            assert takes_all, f"sync.Runtime.{name} lacks {parameter.name}"
        else:
            assert twin.kind is parameter.kind
            assert twin.default == parameter.default


def test_the_constructor_takes_the_same() -> None:
    parameters = inspect.signature(sync.Runtime).parameters
    assert parameters["plugins"].default == inspect.signature(plugmux.Runtime).parameters["plugins"].default
    assert parameters["options"].kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize("name", [name for name in plugmux.__all__ if name != "Plugin"])
def test_every_name_of_the_top_level_but_the_plugins_is_there(name: str) -> None:
    assert name in sync.__all__
    if name != "Runtime":
        assert getattr(sync, name) is getattr(plugmux, name)


@pytest.mark.parametrize("name", ["BadConfiguration", "Event", "Limits", "PluginHandle", "State"])
def test_names_of_the_runtime_that_its_methods_give_or_take_are_there(name: str) -> None:
    assert getattr(sync, name) is getattr(runtime, name)


def test_what_is_lent_has_its_own_blocking_class() -> None:
    assert {"Loan", "Remote"} <= set(sync.__all__)


@pytest.mark.parametrize("client_class", [KeyValueClient, KeyValueSyncClient])
def test_clients_gives_blocking_clients(client_class: type) -> None:
    with sync.Runtime([Store()]) as host:
        ((name, client),) = host.clients(client_class)
        assert name == "Store"
        assert client.get(GetRequest()).value == b"here"
