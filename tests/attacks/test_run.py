"""The runner of attacks: what it tells of one that succeeds, and of one that does not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from attacks import run
from attacks.interface import MIB, Attack, Host, Outcome, make_attack


async def nothing(host: Host) -> None:
    """An attack that is none."""


async def success(host: Host) -> None:
    raise AssertionError("it got in")


async def memory(host: Host) -> None:
    assert len(b"x" * (48 * MIB)) == 48 * MIB


async def endless(host: Host) -> None:
    await asyncio.Event().wait()


async def deaf(host: Host) -> None:
    await host.runtime.disable("honest")


@pytest.mark.parametrize(
    ("attack", "fault"),
    [
        (Attack("nothing", nothing, memory=1024 * MIB, latency=60.0), ""),
        (Attack("success", success), "it got in"),
        (Attack("memory", memory, memory=1 * MIB), "the host grew by"),
        (Attack("latency", nothing, memory=1024 * MIB, latency=0.0), "a call to the honest plugin took"),
        (Attack("endless", endless, seconds=0.1), "it did not end within 0.1 s"),
        (Attack("deaf", deaf, memory=1024 * MIB, latency=60.0), "a call to the honest plugin failed"),
    ],
    ids=lambda value: value.name if isinstance(value, Attack) else "",
)
async def test_an_attack_is_judged_by_what_it_achieves(tmp_path: Path, attack: Attack, fault: str) -> None:
    outcome = await make_attack(attack, tmp_path)
    assert outcome.fault.startswith(fault)
    assert bool(outcome.fault) == bool(fault)


def test_the_table_tells_of_each_attack(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def outcome(module: str, attack: Attack) -> Outcome:
        return Outcome(fault="it got in" if attack.name == "bad" else "")

    monkeypatch.setattr(run, "outcome_of", outcome)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    made = [
        ("a", Attack("good", nothing)),
        ("a", Attack("bad", nothing)),
        ("b", Attack("far", nothing, needs_root=True)),
    ]
    assert run.table(made) == 1
    assert run.table([made[0], made[2]]) == 0
    printed = capsys.readouterr().out
    assert "FAILED: it got in" in printed
    assert "NOT MADE: it needs root" in printed
    assert "1 held, 1 failed, 1 not made" in printed


def test_an_attack_that_makes_calls_late_must_do_so_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Outcome(fault="a call to the honest plugin took 0.73 s", late=True)
    outcomes = {"once": [late, Outcome()], "always": [late] * run.TRIES, "otherwise": [Outcome(fault="it got in")]}
    monkeypatch.setattr(run, "outcome_of", lambda module, attack: outcomes[attack.name].pop(0))
    assert run.table([("a", Attack("once", nothing))]) == 0
    assert run.table([("a", Attack("always", nothing))]) == 1
    assert run.table([("a", Attack("otherwise", nothing))]) == 1
    assert not any(outcomes.values())


def test_every_module_has_attacks_of_different_names() -> None:
    found = [(module, attack.name) for module, attack in run.attacks([])]
    assert {module for module, _ in found} == set(run.modules())
    assert len(set(found)) == len(found)
