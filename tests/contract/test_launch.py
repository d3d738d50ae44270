"""The launch configuration, as both ends read and write it."""

import json

import pytest

from plugmux.contract.launch import COMPATIBLE_VARIABLE, LONGEST_TIMEOUT, VARIABLE, LaunchConfig
from plugmux.errors import ConfigError

DETACHED = LaunchConfig("kv", 5.0, socket="/run/s", detached=True)
IN_A_CONTAINER = LaunchConfig("kv", 5.0, socket="/run/s")


def test_the_json_is_the_one_of_the_wire() -> None:
    assert json.loads(LaunchConfig("kv", 5.0, 3, 3).to_json()) == {"name": "kv", "timeout": 5_000_000_000, "fd": 3}
    assert json.loads(LaunchConfig("kv", 0.5, 3, 4).to_json()) == {"name": "kv", "timeout": 500_000_000, "r": 3, "w": 4}
    assert json.loads(IN_A_CONTAINER.to_json()) == {"name": "kv", "timeout": 5_000_000_000, "socket": "/run/s"}


@pytest.mark.parametrize(
    "config",
    [
        LaunchConfig("kv", 5.0, 3, 3),
        LaunchConfig("kv", 0.25, 7, 9, terminal=True, runtime_pid=5),
        IN_A_CONTAINER,
        DETACHED,
    ],
)
def test_what_is_written_is_what_is_read(config: LaunchConfig) -> None:
    assert LaunchConfig.from_json(config.to_json()) == config


def test_additions_of_ours_stand_under_our_variable_only() -> None:
    environ = LaunchConfig("kv", 5.0, 3, 3, terminal=True, runtime_pid=5).to_environ()
    assert json.loads(environ[VARIABLE]) == {**json.loads(environ[COMPATIBLE_VARIABLE]), "terminal": True, "pid": 5}


def test_unknown_keys_are_ignored() -> None:
    text = '{"name": "kv", "timeout": 1000000000, "fd": 3, "later": [1]}'
    assert LaunchConfig.from_json(text) == LaunchConfig("kv", 1.0, 3, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "JSON list, not an object"),
        ('{"timeout": 1, "fd": 3}', '"name"'),
        ('{"name": "kv", "timeout": "5s", "fd": 3}', '"timeout"'),
        ('{"name": "kv", "timeout": true, "fd": 3}', '"timeout"'),
        ('{"name": "kv", "timeout": 1}', '"fd", or "r" and "w"'),
        ('{"name": "kv", "timeout": 1, "r": 3}', '"fd", or "r" and "w"'),
        ('{"name": "kv", "timeout": 1, "fd": 2}', "must be above 2"),
        ('{"name": "kv", "timeout": 1, "fd": -1}', "must be above 2"),
        ('{"name": "kv", "timeout": 0, "fd": 3}', "must be above 0"),
        ('{"name": "", "timeout": 1, "fd": 3}', "no plugin name"),
        ('{"name": "' + "x" * 70_000 + '"}', "over the limit"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_fault(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        LaunchConfig.from_json(text)


def test_taking_the_configuration_removes_it_from_the_environment() -> None:
    environ = {"PATH": "/bin", **LaunchConfig("kv", 5.0, 3, 3).to_environ()}
    assert LaunchConfig.take_from(environ) == LaunchConfig("kv", 5.0, 3, 3)
    assert environ == {"PATH": "/bin"}


def test_our_variable_is_read_before_the_compatible_one() -> None:
    ours, theirs = LaunchConfig("ours", 5.0, 3, 3), LaunchConfig("theirs", 5.0, 3, 3)
    environ = {COMPATIBLE_VARIABLE: theirs.to_json(), VARIABLE: ours.to_json()}
    assert LaunchConfig.take_from(environ) == ours


def test_the_compatible_variable_alone_is_enough() -> None:
    assert LaunchConfig.take_from({COMPATIBLE_VARIABLE: LaunchConfig("kv", 5.0, 3, 3).to_json()}) is not None


def test_without_a_variable_nothing_was_launched() -> None:
    assert LaunchConfig.take_from({}) is None
    assert LaunchConfig.take_from({VARIABLE: ""}) is None


def test_a_socket_is_told_in_our_variable_only() -> None:
    assert set(IN_A_CONTAINER.to_environ()) == {VARIABLE}
    assert not IN_A_CONTAINER.descriptors


@pytest.mark.parametrize("timeout", [float("inf"), 1e12])
def test_a_longer_time_than_a_plugin_takes_is_the_longest(timeout: float) -> None:
    told = LaunchConfig.from_json(LaunchConfig("kv", timeout, 3, 3).to_json())
    assert told.timeout == LONGEST_TIMEOUT / 1e9
