"""Finding plugins by what they have claimed, without a look at each of them."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugmux import Launch, Permissions, Runtime
from plugmux.contract.patterns import overlap
from plugmux.contract.registration import Registration
from plugmux.runtime import EventKind, Policies
from plugmux.runtime import registry as registry_module
from plugmux.runtime.admission import Admission
from plugmux.runtime.plugin import PluginRecord
from plugmux.runtime.registry import Index, PatternIndex, Registry
from plugmux.runtime.state import State

GO_PLUGIN = Path(__file__).parents[2] / "bin" / "go-plugin"
patterns = st.lists(st.sampled_from(["a", "b", "c", "*", "**"]), min_size=1, max_size=3).map("/".join)


class Nobody:
    """Owns records that are not driven."""

    async def stop(self) -> None: ...

    async def leave(self) -> None: ...


def test_a_name_belongs_to_the_keys_that_were_put_last() -> None:
    index = Index()
    index.put("b", ["x", "y"])
    index.put("a", ["y"])
    assert (list(index.names("x")), list(index.names("y"))) == (["b"], ["a", "b"])
    index.put("b", ["z"])
    assert (list(index.names("x")), list(index.names("y")), list(index.names("z"))) == ([], ["a"], ["b"])
    index.put("b", [])
    index.put("a", [])
    assert index.by_key == {}


@given(st.dictionaries(st.sampled_from("defgh"), st.frozensets(patterns, max_size=3)), patterns)
def test_overlapping_patterns_are_those_of_a_look_at_each(held: dict[str, frozenset[str]], pattern: str) -> None:
    index = PatternIndex()
    for name in held:
        index.put(name, ["a/b", "**"])
    for name, keys in held.items():
        index.put(name, keys)
    expected = {
        other: sorted(name for name, keys in held.items() if other in keys)
        for other in frozenset().union(*held.values())
        if overlap(pattern, other)
    }
    assert {other: list(names) for other, names in index.overlapping(pattern)} == expected


def test_patterns_that_begin_otherwise_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    index, compared = PatternIndex(), []

    def counted(one: str, other: str) -> bool:
        compared.append(other)
        return overlap(one, other)

    monkeypatch.setattr(registry_module, "overlap", counted)
    for number in range(100):
        index.put(f"p{number}", [f"root{number}/**"])
    index.put("any", ["**"])
    assert [other for other, _ in index.overlapping("root7/a")] == ["**", "root7/**"]
    assert len(compared) == 2


def running(registry: Registry, name: str, registration: Registration, *, external: bool = False) -> PluginRecord:
    """A plugin that has registered, in the registry."""
    record = PluginRecord(name, State.REGISTERING, Nobody(), Policies(), external=external)
    record.registration = registration
    registry.add(record)
    record.move(State.RUNNING)
    return record


async def test_what_many_plugins_share_is_one_event_that_names_a_few() -> None:
    registry = Registry()
    registry.on_shared = Admission(registry, Permissions()).settle
    events = registry.events.read(wanted=lambda event: event.kind is EventKind.OVERLAP)
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    for number in range(6):
        running(registry, f"p{number}", Registration(f"p{number}", "v1", services=("kv.v1.KV",)))
    registry.events.close()
    assert [event.status for event in (await first, *[event async for event in events])] == [
        "it serves kv.v1.KV, as plugin 'p0' does",
        "it serves kv.v1.KV, as plugins 'p0', 'p1' do",
        "it serves kv.v1.KV, as plugins 'p0', 'p1', 'p2' do",
        "it serves kv.v1.KV, as plugins 'p0', 'p1', 'p2' and 1 more do",
        "it serves kv.v1.KV, as plugins 'p0', 'p1', 'p2' and 2 more do",
    ]


async def calls_of_a_start(count: int) -> float:
    """Python functions called for the start of each of a number of plugins."""
    calls: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        calls[event] += 1

    runtime = Runtime([Launch([str(GO_PLUGIN)], name=f"p{number}", timeout=120) for number in range(count)])
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        await runtime.start()
    finally:
        sys.setprofile(before)
    try:
        assert all(plugin.state is State.RUNNING for plugin in runtime.plugins())
    finally:
        await runtime.close()
    return calls["call"] / count


def test_a_start_beside_many_plugins_takes_no_more_calls_than_beside_few() -> None:
    asyncio.run(calls_of_a_start(2))  # what the first start imports
    few, many = asyncio.run(calls_of_a_start(20)), asyncio.run(calls_of_a_start(80))
    assert many < 1.1 * few
