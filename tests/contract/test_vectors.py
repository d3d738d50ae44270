"""The vectors of the contract, which the SDKs of all languages share. Those of patterns run in tests/secrets."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from google.protobuf import json_format
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from plugmux.connect.limits import RpcLimits
from plugmux.contract import registration
from plugmux.contract.address import Address
from plugmux.contract.launch import MAX_CONFIG, NANOSECONDS, LaunchConfig
from plugmux.contract.registration import BadPattern, Registration, RegistrationRefused
from plugmux.errors import ConfigError
from plugmux.link import link
from plugmux.plugin import connection, dial, logging
from plugmux.plugin.instances import MAX_INSTANCES
from plugmux.secrets.times import read_time, write_time
from plugmux.yamux import Config, peer, session
from support.tools import ROOT
from support.vectors import shown, table

NAMES, VERSIONS, TIMES = table("names.json"), table("versions.json"), table("times.json")
ADDRESSES, LAUNCHES, REGISTRATIONS = table("addresses.json"), table("launch.json"), table("registration.json")
CONSTANTS: dict[str, Any] = json.loads((ROOT / "proto/constants.json").read_text())


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
    if sys.platform != "win32":
        assert Address.parse(text).sockaddr == name
    else:
        with pytest.raises(ConfigError, match="write pipe:NAME"):
            Address.parse(text)


@pytest.mark.parametrize(("text", "path"), ADDRESSES["pipes"], ids=shown)
def test_an_address_of_a_named_pipe_is_read_on_windows_alone(text: str, path: str) -> None:
    if sys.platform == "win32":
        address = Address.parse(text)
        assert (address.sockaddr, address.path, str(address)) == (path, None, text)
    else:
        with pytest.raises(ConfigError, match="only Windows"):
            Address.parse(text)


@pytest.mark.parametrize("text", ADDRESSES["invalid_pipes"], ids=shown)
def test_what_no_named_pipe_may_be_called_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"pipe:NAME|shorter name"):
        Address.parse(text)


@pytest.mark.parametrize(("text", "name"), ADDRESSES["abstract"], ids=shown)
def test_an_abstract_address_is_read_on_linux_alone(text: str, name: str) -> None:
    if sys.platform.startswith("linux"):
        assert Address.parse(text).name == name
    else:
        with pytest.raises(ConfigError, match=r"only Linux|has named pipes"):
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
        **({"address": config.address, "token": config.token, "ca": config.ca} if config.address else {}),
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


@pytest.mark.parametrize("text", TIMES["unset"], ids=shown)
def test_a_time_is_unset(text: str | None) -> None:
    assert read_time(envelope(text), "created_at") is None


@pytest.mark.parametrize(("text", "seconds"), TIMES["set"], ids=shown)
def test_a_time_is_set_both_ways(text: str, seconds: int) -> None:
    time = read_time(envelope(text), "created_at")
    assert time is not None
    assert time.timestamp() == seconds
    assert (write_time(time).seconds, write_time(time).nanos) == (seconds, 0)


def test_what_is_sent_for_an_unset_time() -> None:
    assert write_time(None).ToJsonString() == TIMES["sent_for_unset"]


def envelope(created_at: str | None) -> GetSecretsResponse.Envelope:
    return json_format.ParseDict({"createdAt": created_at}, GetSecretsResponse.Envelope())


def test_the_constants_are_those_of_all_languages() -> None:
    limits, mux = RpcLimits(), Config()
    assert limits.receive == limits.send
    assert {
        "max_message_bytes": limits.receive,
        "max_name_characters": registration.MAX_NAME,
        "max_version_characters": registration.MAX_VERSION,
        "max_pattern_characters": registration.MAX_PATTERN,
        "max_services": registration.MAX_SERVICES,
        "max_protocol_versions": registration.MAX_PROTOCOL_VERSIONS,
        "max_json_schema_characters": registration.MAX_SCHEMA,
        "max_message_type_characters": registration.MAX_MESSAGE_TYPE,
        "max_list_characters": registration.MAX_LIST,
        "max_instances": MAX_INSTANCES,
        "max_launch_config_bytes": MAX_CONFIG,
        "max_log_text_characters": logging.MAX_TEXT,
        "registration_timeout_seconds": registration.REGISTRATION_TIMEOUT,
        "dial_timeout_seconds": dial.DIAL_TIMEOUT,
        "first_redial_seconds": connection.FIRST_REDIAL,
        "max_redial_seconds": connection.MAX_REDIAL,
        "max_detached_redial_seconds": connection.DETACHED_REDIAL,
        "plugin_drain_timeout_seconds": connection.PLUGIN_DRAIN_TIME,
        "link_close_timeout_seconds": link.CLOSE_TIMEOUT,
        "log": {
            "max_queued_records": logging.CAPACITY,
            "max_records_per_request": logging.BATCH,
            "send_timeout_seconds": logging.SEND_TIMEOUT,
            "resend_delay_seconds": logging.RETRY_DELAY,
            "last_send_timeout_seconds": logging.FLUSH_TIME,
        },
        "yamux": {
            "accept_backlog": mux.accept_backlog,
            "max_streams": mux.max_streams,
            "keep_alive_interval_seconds": mux.keep_alive_interval,
            "connection_write_timeout_seconds": mux.connection_write_timeout,
            "stream_open_timeout_seconds": mux.stream_open_timeout,
            "stream_close_timeout_seconds": mux.stream_close_timeout,
            "stream_window_bytes": mux.stream_window_size,
            "max_stream_window_bytes": mux.max_stream_window_size,
            "max_session_window_growth_bytes": mux.max_session_window_growth,
            "max_link_memory_bytes": mux.max_link_memory,
            "max_unregistered_memory_bytes": mux.max_unregistered_memory,
            "max_unregistered_streams": mux.max_unregistered_streams,
            "max_resets_per_second": mux.max_resets,
            "max_idle_frames_per_second": mux.max_idle_frames,
            "flood_burst_seconds": peer.BURST_SECONDS,
            "flood_young_stream_seconds": session.YOUNG,
            "flood_late_frames_per_reset": peer.LATE_FRAMES,
        },
    } == CONSTANTS
