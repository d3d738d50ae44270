"""What a plugin says of itself, and how it is checked."""

from typing import Any

import pytest
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

from plugmux.contract.registration import (
    BadPattern,
    Configuration,
    InstanceKind,
    Registration,
    RegistrationRefused,
    common_protocol_version,
)
from support.vectors import shown, table

PATTERNS = table("patterns.json")


def test_a_generic_plugin_is_read_with_its_services() -> None:
    request = RegisterPluginRequest(name="kv", version="v1.2.3", services=["kv.v1.B", "kv.v1.A", "kv.v1.A"])
    said = Registration.from_request(request)
    assert said.services == ("kv.v1.A", "kv.v1.B")
    assert said.secrets_pattern is None
    assert not said.access_control
    assert said.protocol_versions == (1,)
    assert said.configuration is None


def test_every_field_is_read() -> None:
    request = RegisterPluginRequest(
        name="kv",
        version="v1.2.3-rc.1+build",
        protocol_versions=[1, 3],
        priority=7,
        replica=True,
        capabilities=["fast"],
        labels={"region": "eu"},
    )
    request.configuration.json_schema = "{}"
    request.configuration.reloadable = True
    request.secrets_provider.pattern = "vault/**"
    said = Registration.from_request(request)
    assert said == Registration(
        "kv",
        "v1.2.3-rc.1+build",
        secrets_pattern="vault/**",
        protocol_versions=(1, 3),
        configuration=Configuration("{}", "", True),
        priority=7,
        replica=True,
        capabilities=("fast",),
        labels={"region": "eu"},
    )


def test_an_access_control_module_is_told_from_a_provider() -> None:
    request = RegisterPluginRequest(name="gate", version="v1.0.0")
    request.access_control_module.SetInParent()
    assert Registration.from_request(request).access_control


@pytest.mark.parametrize("pattern", PATTERNS["not_patterns"], ids=shown)
def test_a_bad_pattern_is_told_apart(pattern: str) -> None:
    with pytest.raises(BadPattern, match="pattern"):
        Registration("kv", "v1.0.0", secrets_pattern=pattern)


@pytest.mark.parametrize("pattern", PATTERNS["patterns"], ids=shown)
def test_a_good_pattern_passes(pattern: str) -> None:
    assert Registration("kv", "v1.0.0", secrets_pattern=pattern).secrets_pattern == pattern


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"labels": {"a": "x" * 3_900_000}}, "3900003 characters of capabilities and labels; the limit is 65536"),
        ({"labels": {str(n): "" for n in range(20_000)}}, "characters of capabilities and labels"),
        ({"capabilities": ("",) * 70_000}, "70000 characters of capabilities and labels"),
        ({"services": tuple(f"a{n}" + "x" * 100 for n in range(700))}, "characters of names of services"),
        ({"instances": InstanceKind(("a" * 70_000,))}, "characters of names of services"),
        ({"protocol_versions": tuple(range(1, 300))}, "299 protocol versions; the limit is 256"),
        ({"configuration": Configuration("x" * 300_000)}, "300000 characters of a JSON schema; the limit is 262144"),
        ({"configuration": Configuration("", "x" * 600)}, "600 characters of a message type"),
        ({"instances": InstanceKind((), Configuration("x" * 300_000))}, "300000 characters of a JSON schema"),
    ],
)
def test_a_registration_holds_no_more_than_can_be_borne(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(RegistrationRefused, match=told) as caught:
        Registration("kv", "v1.0.0", **fields)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("service", ["", "a..b", "1a", "a/b", "a.b\n"])
def test_a_service_that_is_no_proto_name_is_refused(service: str) -> None:
    with pytest.raises(RegistrationRefused, match="not a proto name"):
        Registration("kv", "v1.0.0", services=(service,))


def test_the_number_of_services_is_bounded() -> None:
    with pytest.raises(RegistrationRefused, match="over 1024 services"):
        Registration("kv", "v1.0.0", services=tuple(f"a.S{n}" for n in range(1025)))


def test_the_highest_common_protocol_version_wins() -> None:
    assert common_protocol_version((1, 2, 3), (2, 3, 4)) == 3
    assert common_protocol_version((1,), (2,)) is None
