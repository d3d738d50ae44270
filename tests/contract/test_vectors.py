"""The vectors that the SDKs of all languages share, run against the Python one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

from plugmux.connect.limits import RpcLimits
from plugmux.contract import registration
from plugmux.contract.address import Address
from plugmux.contract.launch import MAX_CONFIG, NANOSECONDS, LaunchConfig
from plugmux.contract.registration import BadPattern, Registration, RegistrationRefused
from plugmux.errors import ConfigError
from plugmux.plugin import connection, dial
from plugmux.secrets.error import InvalidPattern
from plugmux.secrets.pattern import Pattern, SecretId
from plugmux.yamux import Config

ROOT = Path(__file__).parents[2]


def table(name: str) -> dict[str, Any]:
    """The cases of one file, with texts that are given as a repetition spelled out."""
    read: dict[str, Any] = json.loads((ROOT / "tests/vectors" / name).read_text(), object_hook=spelled_out)
    return read


def spelled_out(value: dict[str, Any]) -> Any:
    return value.get("prefix", "") + value["repeat"] * value["count"] if "repeat" in value else value


PATTERNS, NAMES, VERSIONS = table("patterns.json"), table("names.json"), table("versions.json")
ADDRESSES, LAUNCHES, REGISTRATIONS = table("addresses.json"), table("launch.json"), table("registration.json")
CONSTANTS: dict[str, Any] = json.loads((ROOT / "proto/constants.json").read_text())


def shown(value: Any) -> str:
    return ascii(value)[:60]


@pytest.mark.parametrize("text", PATTERNS["ids"], ids=shown)
def test_an_id_is_taken(text: str) -> None:
    assert SecretId(text) == text


@pytest.mark.parametrize("text", PATTERNS["not_ids"], ids=shown)
def test_what_is_not_an_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidPattern):
        SecretId(text)


@pytest.mark.parametrize("text", PATTERNS["patterns"], ids=shown)
def test_a_pattern_is_taken(text: str) -> None:
    assert Pattern(text).text == text


@pytest.mark.parametrize("text", PATTERNS["not_patterns"], ids=shown)
def test_what_is_not_a_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidPattern):
        Pattern(text)


@pytest.mark.parametrize(("pattern", "id", "expected"), PATTERNS["match"], ids=shown)
def test_match(pattern: str, id: str, expected: bool) -> None:
    assert Pattern(pattern).match(id) is expected


@pytest.mark.parametrize(("pattern", "other", "expected"), PATTERNS["includes"], ids=shown)
def test_includes(pattern: str, other: str, expected: bool) -> None:
    assert Pattern(pattern).includes(other) is expected


@pytest.mark.parametrize(("pattern", "other", "expected"), PATTERNS["filter"], ids=shown)
def test_filter(pattern: str, other: str, expected: str | None) -> None:
    assert Pattern(pattern).filter(other) == (None if expected is None else Pattern(expected))


@pytest.mark.parametrize("name", NAMES["valid"], ids=shown)
def test_a_name_is_taken(name: str) -> None:
    assert Registration(name, "v1.0.0").name == name


@pytest.mark.parametrize("name", NAMES["invalid"], ids=shown)
def test_what_is_not_a_name_is_refused(name: str) -> None:
    with pytest.raises(RegistrationRefused, match="plugin name"):
        Registration(name, "v1.0.0")


@pytest.mark.parametrize("version", VERSIONS["valid"], ids=shown)
def test_a_version_is_taken(version: str) -> None:
    assert Registration("kv", version).version == version


@pytest.mark.parametrize("version", VERSIONS["invalid"], ids=shown)
def test_what_is_not_a_version_is_refused(version: str) -> None:
    with pytest.raises(RegistrationRefused, match="version"):
        Registration("kv", version)


@pytest.mark.parametrize(("text", "name"), ADDRESSES["valid"], ids=shown)
def test_an_address_of_a_file_is_read(text: str, name: str) -> None:
    assert Address.parse(text).sockaddr == name


@pytest.mark.parametrize(("text", "name"), ADDRESSES["abstract"], ids=shown)
def test_an_abstract_address_is_read_on_linux_alone(text: str, name: str) -> None:
    if sys.platform.startswith("linux"):
        assert Address.parse(text).name == name
    else:
        with pytest.raises(ConfigError, match="only Linux"):
            Address.parse(text)


@pytest.mark.parametrize("text", ADDRESSES["invalid"], ids=shown)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(text)


@pytest.mark.parametrize("case", LAUNCHES["valid"], ids=lambda case: shown(case["json"]))
def test_a_launch_configuration_is_read(case: dict[str, Any]) -> None:
    config, expected = LaunchConfig.from_json(case["json"]), case["launch"]
    assert expected == {
        "name": config.name,
        "timeout_ns": round(config.timeout * NANOSECONDS),
        "read": config.read_fd,
        "write": config.write_fd,
        "socket": config.socket,
        "terminal": config.terminal,
        "detached": config.detached,
    }


@pytest.mark.parametrize("text", LAUNCHES["invalid"], ids=shown)
def test_what_is_not_a_launch_configuration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="launch configuration"):
        LaunchConfig.from_json(text)


@pytest.mark.parametrize("request_json", REGISTRATIONS["accepted"], ids=shown)
def test_a_registration_is_accepted(request_json: dict[str, Any]) -> None:
    request = json_format.ParseDict(request_json, RegisterPluginRequest())
    assert Registration.from_request(request).name == request.name


@pytest.mark.parametrize(("request_json", "code"), REGISTRATIONS["refused"], ids=shown)
def test_a_registration_is_refused(request_json: dict[str, Any], code: str) -> None:
    with pytest.raises(RegistrationRefused) as caught:
        Registration.from_request(json_format.ParseDict(request_json, RegisterPluginRequest()))
    assert isinstance(caught.value, BadPattern) == (code == "invalid_argument")


def test_the_constants_are_those_of_all_languages() -> None:
    limits, mux = RpcLimits(), Config()
    assert CONSTANTS["max_message_bytes"] == limits.receive == limits.send
    assert CONSTANTS["max_version_characters"] == registration.MAX_VERSION
    assert CONSTANTS["max_pattern_characters"] == registration.MAX_PATTERN
    assert CONSTANTS["max_services"] == registration.MAX_SERVICES
    assert CONSTANTS["max_launch_config_bytes"] == MAX_CONFIG
    assert CONSTANTS["dial_timeout_seconds"] == dial.DIAL_TIMEOUT
    assert CONSTANTS["first_redial_seconds"] == connection.FIRST_REDIAL
    assert CONSTANTS["max_redial_seconds"] == connection.MAX_REDIAL
    assert CONSTANTS["near_redial_seconds"] == connection.DETACHED_REDIAL
    assert CONSTANTS["yamux"] == {
        "accept_backlog": mux.accept_backlog,
        "max_streams": mux.max_streams,
        "keep_alive_interval_seconds": mux.keep_alive_interval,
        "connection_write_timeout_seconds": mux.connection_write_timeout,
        "stream_open_timeout_seconds": mux.stream_open_timeout,
        "stream_close_timeout_seconds": mux.stream_close_timeout,
        "stream_window_bytes": mux.stream_window_size,
        "max_stream_window_bytes": mux.max_stream_window_size,
        "max_session_window_growth_bytes": mux.max_session_window_growth,
    }
