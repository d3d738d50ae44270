"""Secrets: what they keep, what they never show, and their way to the wire and back."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import logging
import pickle
import pprint
import traceback
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from plugmux_proto.google.protobuf.timestamp_pb2 import Timestamp
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from plugmux.errors import ConfigError
from plugmux.secrets.error import InvalidPattern
from plugmux.secrets.secret import Secret

VALUE = b"hunter2-hunter2"
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)

Envelope = GetSecretsResponse.Envelope


def full() -> Secret:
    return Secret(
        "vault/db/password",
        VALUE,
        provider="vault",
        version="7",
        created_at=WHEN,
        resolved_at=WHEN + timedelta(days=1),
        expires_at=WHEN + timedelta(days=2),
        metadata={"owner": "hunter2-owner"},
    )


def test_a_secret_holds_what_it_was_given() -> None:
    secret = full()
    assert (secret.id, secret.value, secret.provider, secret.version) == ("vault/db/password", VALUE, "vault", "7")
    assert (secret.created_at, secret.metadata) == (WHEN, {"owner": "hunter2-owner"})


def test_everything_but_id_and_value_has_a_default() -> None:
    secret = Secret(id="a", value=b"")
    assert (secret.provider, secret.version, secret.created_at, secret.resolved_at) == ("", "", None, None)
    assert (secret.expires_at, secret.metadata) == (None, {})


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>200}".format,
        lambda secret: f"{secret}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 -- a way of its own
        lambda secret: f"{[secret]} { ({'key': secret}) }",
        pprint.pformat,
        lambda secret: ascii(secret),
        lambda secret: str(Exception(secret)),
        lambda secret: json.dumps(secret, default=repr),
    ],
)
def test_no_way_of_turning_a_secret_into_text_shows_its_value(show: Any) -> None:
    shown = show(full())
    assert "vault/db/password" in shown
    assert "value=****" in shown
    assert "hunter2" not in shown


def test_a_secret_in_a_log_record_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("resolved %s, %r", full(), full())
    assert "vault/db/password" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_traceback_that_shows_local_variables_does_not_show_the_value() -> None:
    def fail(secret: Secret) -> None:
        raise RuntimeError("no use for it")

    try:
        fail(full())
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "secret = Secret(" in shown
    assert "hunter2" not in shown


def test_what_takes_dataclasses_and_dictionaries_apart_finds_neither() -> None:
    assert not dataclasses.is_dataclass(full())
    with pytest.raises(TypeError):
        vars(full())
    with pytest.raises(TypeError):
        json.dumps(full())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps([full()], protocol)


@pytest.mark.parametrize("name", ["__getstate__", "__reduce__", "__reduce_ex__"])
def test_what_a_serializer_asks_for_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        getattr(full(), name)()


def test_who_takes_a_secret_apart_does_not_find_its_value() -> None:
    @dataclasses.dataclass
    class Holder:
        secret: Secret

    secret = full()
    parts = [getattr(secret, name) for name in Secret.__slots__]
    parts += [found for _, found in inspect.getmembers(secret) if not callable(found)]
    parts += [dataclasses.asdict(Holder(secret)), copy.deepcopy(Holder(secret))]
    assert VALUE not in parts
    assert "hunter2-hunter2" not in repr(parts)
    with pytest.raises(TypeError):
        vars(secret)
    for default in (vars, lambda found: found.__getstate__(), lambda found: found.__dict__):
        with pytest.raises((TypeError, AttributeError)):
            json.dumps(secret, default=default)


def test_copies_are_the_same_object() -> None:
    secret = full()
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_a_secret_cannot_be_changed() -> None:
    secret = full()
    with pytest.raises(AttributeError, match="cannot be changed"):
        secret.value = b"other"  # type: ignore[misc]  # what must fail
    with pytest.raises(AttributeError, match="cannot be changed"):
        del secret.value
    with pytest.raises(AttributeError):
        secret.unknown = 1
    with pytest.raises(TypeError):
        secret.metadata["owner"] = "other"  # type: ignore[index]  # what must fail
    assert secret == full()


@pytest.mark.parametrize("given", [("a/b", "hunter2"), (b"hunter2", "a/b"), (b"hunter2", b"x"), (None, b"hunter2")])
def test_what_is_neither_id_nor_value_is_refused_without_showing_it(given: tuple[Any, Any]) -> None:
    with pytest.raises(TypeError, match="takes str and bytes, not") as caught:
        Secret(*given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_value_is_kept_as_bytes(kind: type) -> None:
    assert type(Secret("a", kind(VALUE)).value) is bytes


def test_a_bad_id_is_refused_without_showing_the_value() -> None:
    with pytest.raises(InvalidPattern) as caught:
        Secret("a/*", VALUE)
    assert "hunter2" not in str(caught.value)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="created_at has no time zone"):
        Secret("a", VALUE, created_at=datetime(2026, 1, 1))


def test_times_are_kept_in_utc() -> None:
    there = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    kept = Secret("a", VALUE, expires_at=there).expires_at
    assert kept is not None
    assert (kept.tzinfo, kept.hour) == (UTC, 7)


def test_equality_looks_at_everything_and_hashing_agrees_with_it() -> None:
    assert full() == full()
    assert hash(full()) == hash(full())
    assert full() != full().replace(provider="other")
    assert full() != Secret("vault/db/password", VALUE)
    assert full() != "vault/db/password"


def test_replace_changes_only_what_is_named() -> None:
    later = WHEN + timedelta(days=9)
    changed = full().replace(provider="other", resolved_at=later)
    assert (changed.provider, changed.resolved_at) == ("other", later)
    assert changed.replace(provider="vault", resolved_at=full().resolved_at) == full()
    assert full().replace() == full()


@pytest.mark.parametrize("secret", [full(), Secret("a", b""), Secret("a/b", bytes(range(256)))])
def test_a_secret_survives_the_wire(secret: Secret) -> None:
    assert Secret.from_envelope(Envelope.FromString(secret.to_envelope().SerializeToString())) == secret


def test_unset_times_go_out_as_the_year_1_and_are_read_as_unset() -> None:
    envelope = Secret("a", VALUE).to_envelope()
    for name in ("created_at", "resolved_at", "expires_at"):
        assert getattr(envelope, name).ToJsonString() == "0001-01-01T00:00:00Z"
    for received in (envelope, Envelope(id="a", value=VALUE)):
        secret = Secret.from_envelope(received)
        assert (secret.created_at, secret.resolved_at, secret.expires_at) == (None, None, None)


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(id="", value=VALUE),
        Envelope(id="a/*", value=VALUE),
        Envelope(id="a", value=VALUE, created_at=Timestamp(seconds=2**62)),
        Envelope(id="a", value=VALUE, expires_at=Timestamp(seconds=-(2**62))),
        Envelope(id="a", value=VALUE, resolved_at=Timestamp(nanos=-1)),
    ],
)
def test_a_malformed_envelope_is_refused_without_quoting_it(envelope: Envelope) -> None:
    with pytest.raises(ValueError, match="not well formed") as caught:
        Secret.from_envelope(envelope)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
