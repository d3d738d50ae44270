"""What the page sends on a call."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from plugmux.connect import Code, RpcError
from plugmux.inspector.calls import MAX_WAITING, Requests
from plugmux.inspector.masking import Masker

ENVELOPE: Any = GetSecretsResponse.Envelope.DESCRIPTOR


@pytest.fixture
def masker() -> Masker:
    return Masker("resolver.v1.ResolverService", ENVELOPE.file.pool)


def test_a_secret_of_every_message_is_masked_in_the_texts_of_the_call(masker: Masker) -> None:
    requests = Requests(ENVELOPE, masker)
    for value in (b"first-secret", b"later-secret"):
        requests.put(json.dumps({"value": b64encode(value).decode()}))
    told = masker.text("neither first-secret nor later-secret is known")
    assert "secret" not in told


def test_a_message_more_than_may_wait_is_refused_and_none_is_lost(masker: Masker) -> None:
    requests = Requests(None, masker)
    for number in range(MAX_WAITING):
        requests.put(json.dumps({"number": number}))
    with pytest.raises(RpcError, match="1000 messages wait to be sent already") as caught:
        requests.put("{}")
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    with pytest.raises(RpcError, match="1000 messages wait"):
        requests.end()
    assert [requests.waiting.get_nowait() for _ in range(MAX_WAITING)] == [{"number": n} for n in range(MAX_WAITING)]
