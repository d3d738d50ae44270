"""Checks of the calls of a plugin's methods, one at a time."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from ...connect import Code, Kind
from ..answer import Answer
from ..check import Group
from ..host import in_parts
from ..methods import Method, padded
from ..outcome import Failed, NotApplicable, expect
from ..subject import Subject

__all__ = ["GROUP"]

GROUP = Group("calls", "How the plugin answers calls: Connect over HTTP/1.1, one stream for each.")
STREAM_DEADLINE = 1000
"""Milliseconds that a stream is told it may go on: many never end by themselves."""

NO_MESSAGE = b"\xff" * 24
UNSAID = (Code.UNKNOWN, Code.INTERNAL)


@GROUP.add(
    "unary",
    "Every unary method is answered with its message, or with an error of the Connect protocol.",
    "A client can read nothing else.",
    required=True,
)
async def unary(subject: Subject) -> None:
    for method in await _unary_methods(subject):
        answer = await _call(subject, method)
        if answer.status == 200:
            expect(answer.media_type == method.content_type, f"{method.path}: its type is {answer.media_type!r}")
            _parses(method, answer.body)
            continue
        code = answer.error_code()
        expect(code is not Code.UNIMPLEMENTED, f"{method.path} is described, and answered with {answer}")


@GROUP.add(
    "server-stream",
    "A method that answers with a stream ends it with an end-of-stream envelope.",
    "Without it a client cannot tell the end of the stream from a broken link.",
    required=True,
)
async def server_stream(subject: Subject) -> None:
    await _stream(subject, Kind.SERVER_STREAM)


@GROUP.add(
    "client-stream",
    "A method that takes a stream answers with one message and an end-of-stream envelope, or with an error.",
    "A client of such a method waits for exactly this.",
    required=True,
)
async def client_stream(subject: Subject) -> None:
    await _stream(subject, Kind.CLIENT_STREAM)


@GROUP.add(
    "bidi",
    "A method with streams both ways works, with one request after the other over HTTP/1.1.",
    "Links are not HTTP/2: a stream of yamux carries both directions at once.",
    required=True,
)
async def bidi(subject: Subject) -> None:
    await _stream(subject, Kind.BIDI_STREAM)


@GROUP.add(
    "empty-request",
    "A request without fields is answered with something better than unknown or internal.",
    "These two say that the handler broke; a wrong request is invalid_argument.",
    required=False,
)
async def empty_request(subject: Subject) -> None:
    for method in await _unary_methods(subject):
        answer = await _call(subject, method)
        expect(answer.code not in UNSAID, f"{method.path} was answered with {answer}: {answer.shown}")


@GROUP.add(
    "json",
    "A unary call in JSON is answered in JSON.",
    "Command lines, curl and other tools call without a schema.",
    required=True,
)
async def json(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    body = method.as_json()
    answer = await (await subject.shared()).fetch(method.path, body, content_type="application/json")
    expect(answer.status != 415, "it does not take JSON")
    expect(answer.media_type == "application/json", f"{answer} has the type {answer.media_type!r}")
    expect(answer.body.strip()[:1] == b"{", f"the body is {answer.shown}")


@GROUP.add(
    "unknown-method",
    "A method that a service does not have is answered with unimplemented, or with 404.",
    "A newer client asks for what an older plugin does not have, and must be able to tell.",
    required=True,
)
async def unknown_method(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    await _unimplemented(subject, method.path.rpartition("/")[0] + "/NoSuchMethod")


@GROUP.add(
    "unknown-service",
    "A service that the plugin does not serve is answered with unimplemented, or with 404.",
    "A runtime finds out by it what a plugin has.",
    required=True,
)
async def unknown_service(subject: Subject) -> None:
    await _unimplemented(subject, "/no.such.v1.Service/Method")


@GROUP.add(
    "bad-message",
    "A request that is no message is answered with an error in the form of the Connect protocol.",
    "A broken client must not break the plugin, and must learn what is wrong.",
    required=True,
)
async def bad_message(subject: Subject) -> None:
    await _wrong(subject, NO_MESSAGE, "application/proto")


@GROUP.add(
    "bad-message-code",
    "The code of that error is invalid_argument.",
    "With any other code, programs would try the same request again.",
    required=False,
)
async def bad_message_code(subject: Subject) -> None:
    answer = await _wrong(subject, NO_MESSAGE, "application/proto")
    expect(answer.code is Code.INVALID_ARGUMENT, f"it was answered with {answer}")


@GROUP.add(
    "bad-json",
    "A request that is no JSON is answered with an error in the form of the Connect protocol.",
    "People write JSON by hand, and get it wrong.",
    required=True,
)
async def bad_json(subject: Subject) -> None:
    await _wrong(subject, b'{"a": ', "application/json")


@GROUP.add(
    "content-type",
    "A request of a type that the plugin does not know is refused, with 415.",
    "Connect clients find out by it which codecs and kinds of method there are.",
    required=True,
)
async def content_type(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    answer = await (await subject.shared()).fetch(method.path, b"hello", content_type="text/plain")
    expect(answer.status == 415, f"it was answered with {answer}")


@GROUP.add(
    "http-method",
    "An RPC with an HTTP method other than POST or GET is refused, with 405.",
    "Connect says so.",
    required=False,
)
async def http_method(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    host = await subject.shared()
    answer = await host.fetch(method.path, method.body, content_type=method.content_type, method="PUT")
    expect(answer.status == 405, f"PUT was answered with {answer}")


@GROUP.add(
    "unknown-fields",
    "A request with fields that the plugin does not know is answered as one without them.",
    "Newer clients send more; protobuf ignores it.",
    required=True,
)
async def unknown_fields(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    before, after = await _call(subject, method), await _call(subject, method, padded(method, 8))
    expect(before.code is after.code, f"without such fields it was answered with {before}, with them with {after}")


@GROUP.add(
    "chunked",
    "A request whose body comes in chunks is answered as any other.",
    "HTTP/1.1 allows it, and clients that do not know the length beforehand send it.",
    required=True,
)
async def chunked(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    host = await subject.shared()
    body = in_parts(*(method.body[at : at + 1] for at in range(len(method.body))))
    before = await _call(subject, method)
    after = await host.fetch(method.path, body, content_type=method.content_type)
    expect(before.code is after.code, f"with a length it was answered with {before}, in chunks with {after}")


@GROUP.add(
    "reflection",
    "Reflection describes every service that the plugin has registered with.",
    "plugmux call, and these checks, learn by it which methods there are.",
    required=False,
)
async def reflection(subject: Subject) -> None:
    host = await subject.shared()
    if not host.registration.services:
        raise NotApplicable("it registered with no services")
    described = {m.path.split("/")[1] for m in (await subject.methods()).found if m.descriptor}
    missing = set(subject.options.services or host.registration.services) - described
    expect(not missing, f"it does not tell of {', '.join(sorted(missing))}")


async def _unary_methods(subject: Subject) -> list[Method]:
    methods = await subject.methods()
    return [m for m in methods.found if m.kind in (Kind.UNARY, None)] or [methods.unary()]


async def _call(subject: Subject, method: Method, body: bytes | None = None) -> Answer:
    host = await subject.shared()
    deadline = [(b"connect-timeout-ms", b"%d" % max(1, int(subject.options.timeout * 500)))]
    return await host.fetch(
        method.path, method.body if body is None else body, content_type=method.content_type, headers=deadline
    )


def _parses(method: Method, body: bytes) -> None:
    if method.descriptor is None or method.codec != "proto":
        return
    kind = method.descriptor.output_type
    try:
        GetMessageClass(kind).FromString(body)
    except DecodeError:
        raise Failed(f"{method.path}: the answer is no {kind.full_name}") from None


async def _stream(subject: Subject, kind: Kind) -> None:
    host = await subject.shared()
    for method in (await subject.methods()).of_kind(kind):
        answer = await host.stream(
            method.path, in_parts(method.enveloped), codec=method.codec, deadline_ms=STREAM_DEADLINE
        )
        try:
            code = answer.end_code()
            expect(code is not Code.UNIMPLEMENTED, "it is described, and answered with unimplemented")
            expect(
                kind is not Kind.CLIENT_STREAM or code is not None or len(answer.messages) == 1,
                f"it was answered with {len(answer.messages)} messages",
            )
            for message in answer.messages:
                _parses(method, message)
        except Failed as error:
            raise Failed(f"{method.path}: {error}") from None


async def _unimplemented(subject: Subject, path: str) -> None:
    answer = await (await subject.shared()).fetch(path)
    expect(answer.code is Code.UNIMPLEMENTED, f"{path} was answered with {answer}")


async def _wrong(subject: Subject, body: bytes, kind: str) -> Answer:
    method = (await subject.methods()).unary()
    answer = await (await subject.shared()).fetch(method.path, body, content_type=kind)
    answer.error_code()
    return answer
