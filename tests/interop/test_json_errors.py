"""A request in JSON that is not what its method takes is refused with the name of the field, in every language."""

from __future__ import annotations

import pytest

from plugmux import Runtime
from plugmux.exchange import Request, Response
from support.tools import LANGUAGES, example_plugin

HEADERS = [(b"content-type", b"application/json"), (b"connect-protocol-version", b"1")]


async def put(language: str, body: bytes) -> Response:
    """The answer to a request in JSON."""
    async with Runtime([example_plugin(language)]) as runtime:
        return await runtime.transport.fetch(Request("/kv.v1.KeyValueService/Put", HEADERS, body), 1 << 20)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_error_names_the_field(language: str) -> None:
    answer = await put(language, b'{"key": 3}')
    assert answer.status == 400
    assert b"invalid_argument" in answer.body
    assert b"key" in answer.body


@pytest.mark.parametrize(
    ("body", "told"), [(b'{"key": 3}', b"the field /key does not"), (b'{"key": ', b"line 1 column 9")]
)
async def test_python_names_the_place_and_not_the_value(body: bytes, told: bytes) -> None:
    assert told in (await put("python", body)).body
