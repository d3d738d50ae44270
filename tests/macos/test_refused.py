"""What macOS has not is refused by name, before anything starts. It runs on any system: what differs is chosen here."""

from __future__ import annotations

import sys

import pytest

from plugmux import ConfigError, Launch
from plugmux.contract import address
from plugmux.contract.address import Address
from plugmux.platform import unsupported_limits
from plugmux.runners import DetachedRunner
from plugmux.runtime import Limits, LocalRunner


@pytest.fixture(autouse=True)
def macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this system have what macOS has."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(address, "ABSTRACT_SOCKETS", False)


@pytest.mark.parametrize("limits", [{"memory": 2**30}, {"processes": 5}], ids=str)
def test_a_limit_that_the_kernel_does_not_know_is_refused_by_its_name(limits: dict[str, int]) -> None:
    (name,) = limits
    for runner in (None, LocalRunner()):
        with pytest.raises(ConfigError, match=f"'kv' cannot be held to its limit {name}: .*leave the limit out"):
            Launch(["./kv"], limits=Limits(**limits), runner=runner)
    assert set(unsupported_limits()) == {"memory", "processes"}


def test_the_other_limits_are_taken() -> None:
    assert Launch(["./kv"], limits=Limits(cpu=5, files=100)).limits == Limits(cpu=5, files=100)


def test_an_abstract_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="only Linux has abstract sockets: write unix:/path"):
        Address.parse("unix:@name")


def test_where_nothing_tells_when_a_process_was_started_nothing_is_detached(monkeypatch: pytest.MonkeyPatch) -> None:
    from plugmux.platform.posix import facts

    monkeypatch.setattr(facts, "libproc", lambda: None)
    with pytest.raises(ConfigError, match="does not tell when a process was started"):
        DetachedRunner("/nowhere")
