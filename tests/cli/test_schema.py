"""Reflection, from servers that tell much, little, or nonsense."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from plugmux.dynamic.schema import check_requests, find_service, method_of
from plugmux.errors import ConfigError
from plugmux.exchange import Headers, Request, Response, StreamingResponse

MESSAGE = FileDescriptorProto(name="m.proto", package="m", syntax="proto3")
MESSAGE.message_type.add(name="M").field.add(
    name="n", number=1, type=FieldDescriptorProto.TYPE_INT32, label=FieldDescriptorProto.LABEL_OPTIONAL
)
SERVICE = FileDescriptorProto(name="s.proto", package="s", syntax="proto3", dependency=["m.proto"])
METHODS = SERVICE.service.add(name="S").method
METHODS.add(name="Unary", input_type=".m.M", output_type=".m.M")
METHODS.add(name="Collect", input_type=".m.M", output_type=".m.M", client_streaming=True)
CIRCLE = FileDescriptorProto(name="s.proto", package="s", syntax="proto3", dependency=["s.proto"])


def told(*files: FileDescriptorProto) -> dict[str, Any]:
    encoded = [base64.b64encode(file.SerializeToString()).decode() for file in files]
    return {"fileDescriptorResponse": {"fileDescriptorProto": encoded}}


class Reflecting:
    """A server that answers every reflection question by a function of it."""

    status = 200
    headers: Headers = ()

    def __init__(self, answer: Callable[[dict[str, str]], Any]) -> None:
        self._answer = answer
        self._body = b""
        self.questions: list[dict[str, str]] = []

    async def fetch(self, request: Request, limit: int) -> Response:
        raise AssertionError("reflection is a stream")

    async def send(self, request: Request) -> StreamingResponse:
        assert isinstance(request.body, bytes)
        self.questions.append(json.loads(request.body[5:]))
        reply = json.dumps(self._answer(self.questions[-1])).encode()
        self._body = b"\0" + len(reply).to_bytes(4, "big") + reply + b"\2\0\0\0\2{}"
        return self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body

    async def aclose(self) -> None:
        pass


def whole(question: dict[str, str]) -> Any:
    return told(SERVICE, MESSAGE)


def piecemeal(question: dict[str, str]) -> Any:
    return told(MESSAGE if question.get("fileByFilename") == "m.proto" else SERVICE)


@pytest.mark.parametrize(("answer", "questions"), [(whole, 1), (piecemeal, 2)])
async def test_a_method_is_found_whether_or_not_imports_come_along(answer: Any, questions: int) -> None:
    server = Reflecting(answer)
    service = await find_service(server, "s.S")
    assert service is not None
    method = method_of(service, "Unary")
    assert (method.input_type.full_name, method.client_streaming) == ("m.M", False)
    assert len(server.questions) == questions


@pytest.mark.parametrize(
    "answer",
    [
        {"errorResponse": {"errorCode": 5}},
        {"fileDescriptorResponse": {"fileDescriptorProto": ["!"]}},
        {"fileDescriptorResponse": {"fileDescriptorProto": [7]}},
        {"fileDescriptorResponse": {}},
        {"fileDescriptorResponse": None},
        told(),
        told(SERVICE),
        told(MESSAGE),
        told(CIRCLE),
        [],
        "nonsense",
    ],
)
async def test_a_server_that_tells_nothing_of_use_is_called_without_a_schema(answer: Any) -> None:
    assert await find_service(Reflecting(lambda question: answer), "s.S") is None


@pytest.mark.parametrize(("name", "told"), [("unary", "; did you mean Unary?"), ("Nope", "; it has Unary, Collect")])
async def test_an_unknown_method_is_wrong_usage_and_known_ones_are_named(name: str, told: str) -> None:
    service = await find_service(Reflecting(whole), "s.S")
    assert service is not None
    with pytest.raises(ConfigError) as caught:
        method_of(service, name)
    assert str(caught.value) == f"s.S has no method {name}{told}"


async def test_a_method_that_takes_a_stream_takes_any_number_of_messages() -> None:
    service = await find_service(Reflecting(whole), "s.S")
    assert service is not None
    method = method_of(service, "Collect")
    check_requests(method, [])
    check_requests(method, [{"n": 1}, {"n": 2}])
    with pytest.raises(ConfigError, match=r"the request is no m\.M"):
        check_requests(method, [{"n": 1}, {"n": "x"}])
