"""Checks of what the plugin says of itself when it registers."""

from __future__ import annotations

from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest, RegisterPluginResponse

from ...connect import Code, RpcError
from ...contract.registration import Registration, RegistrationRefused
from ..check import Group
from ..ended import Ended
from ..host import TestRegistrar, accepted
from ..outcome import Failed, NotApplicable, expect
from ..subject import NAME, Subject

__all__ = ["GROUP"]

GROUP = Group("registration", "What the plugin says of itself, and how it takes the answer.")
REASON = "refused by plugmux check"
UNKNOWN_FIELD = b"\xc2\x3e\x05later"
"""Field 1000, with a text."""


@GROUP.add(
    "name",
    "The plugin registers under the name that it was given.",
    "A runtime knows a launched plugin by this name, and refuses any other.",
    required=True,
)
async def name(subject: Subject) -> None:
    said = (await subject.shared()).registration.name
    expect(said == NAME, f"it was launched as {NAME!r}, and registered as {said!r}")


@GROUP.add(
    "version",
    'The plugin\'s version is a semantic version with a leading "v".',
    "A runtime refuses every other; programs choose by it.",
    required=True,
)
async def version(subject: Subject) -> None:
    said = (await subject.shared()).registration
    _valid(RegisterPluginRequest(name=NAME, version=said.version))


@GROUP.add(
    "pattern",
    "The pattern of a secrets provider is well formed.",
    "A runtime refuses the registration otherwise, with invalid_argument.",
    required=True,
)
async def pattern(subject: Subject) -> None:
    said = (await subject.shared()).registration
    if not said.HasField("secrets_provider"):
        raise NotApplicable("it is no secrets provider")
    _valid(RegisterPluginRequest(name=NAME, version="v1.0.0", secrets_provider=said.secrets_provider))


@GROUP.add(
    "values",
    "Everything else that the plugin registers with is valid: its services, labels and protocol versions.",
    "A runtime of plugmux holds them against its limits, and refuses the plugin.",
    required=False,
)
async def values(subject: Subject) -> None:
    said = RegisterPluginRequest()
    said.CopyFrom((await subject.shared()).registration)
    said.name, said.version = NAME, "v1.0.0"
    said.ClearField("secrets_provider")
    _valid(said)


@GROUP.add(
    "offer",
    "The plugin offers something: secrets, decisions on access, or services.",
    "A plugin without any of them can be called by nobody.",
    required=False,
)
async def offer(subject: Subject) -> None:
    said = (await subject.shared()).registration
    expect(
        said.WhichOneof("metadata") or said.services or said.HasField("instances"),
        "it registered as no kind of plugin, and with no services",
    )


@GROUP.add(
    "first",
    "The registration is the first that the plugin asks of the runtime, on stream 1.",
    "Until it has registered, a runtime answers nothing else.",
    required=True,
)
async def first(subject: Subject) -> None:
    link = await subject.shared_raw()  # It fails where the first request is another.
    expect(link.opened[0] == 1, f"the first stream that it opened is {link.opened[0]}")


@GROUP.add(
    "request",
    "The registration is a POST of protobuf or JSON over HTTP/1.1.",
    "Both are what a Connect server takes for a unary call; it refuses anything else.",
    required=True,
)
async def request(subject: Subject) -> None:
    link = await subject.shared_raw()
    assert link.request is not None
    head, _ = link.request
    kind = dict(head.headers).get(b"content-type", b"").partition(b";")[0]
    expect(head.method == b"POST", f"its method is {head.method.decode()}")
    expect(head.http_version == b"1.1", f"its HTTP version is {head.http_version.decode()}")
    expect(kind in (b"application/proto", b"application/json"), f"its content type is {kind.decode()!r}")


@GROUP.add(
    "ends-stream",
    "The plugin ends the stream of its registration when it has read the answer.",
    "There is one stream for each request, so that no open streams mean that nothing is in flight.",
    required=True,
)
async def ends_stream(subject: Subject) -> None:
    link = await subject.shared_raw()
    stream = link.streams[link.opened[0]]
    await link.until(lambda: stream.finished or stream.reset, "the end of the registration's stream")


@GROUP.add(
    "once",
    "The plugin registers once on each link.",
    "A runtime refuses a second registration.",
    required=True,
)
async def once(subject: Subject) -> None:
    host = await subject.shared()
    await host.fetch("/health", method="GET")
    await host.ping()
    count = len(host.registrar.requests)
    expect(count == 1, f"it registered {count} times")


@GROUP.add(
    "unknown-fields",
    "Fields of the answer that the plugin does not know are ignored.",
    "A newer runtime says more of itself.",
    required=True,
)
async def unknown_fields(subject: Subject) -> None:
    known = accepted().SerializeToString()
    await _goes_on(subject, RegisterPluginResponse.FromString(known + UNKNOWN_FIELD))


@GROUP.add(
    "request-timeout",
    "The plugin takes an answer that limits the time of its requests.",
    "The field is optional, and a runtime sets it where it has such a limit.",
    required=True,
)
async def request_timeout(subject: Subject) -> None:
    answer = accepted()
    answer.request_timeout.seconds = 30
    await _goes_on(subject, answer)


@GROUP.add(
    "refused",
    "A plugin whose registration is refused ends, with a failure.",
    "It can serve nobody on this link, and the runtime waits for its end.",
    required=True,
)
async def refused(subject: Subject) -> None:
    found = await _refuse(subject)
    expect(found.status != 0, "it ended with status 0")


@GROUP.add(
    "refused-reason",
    "A plugin whose registration is refused prints the runtime's reason.",
    "Its author sees what is wrong with it.",
    required=False,
)
async def refused_reason(subject: Subject) -> None:
    found = await _refuse(subject)
    expect(REASON in found.printed, f"it did not{found.stderr_tail}")


async def _refuse(subject: Subject) -> Ended:
    """The end of a plugin whose registration was refused."""

    async def refuse() -> Ended:
        async with subject.launched(TestRegistrar(refusal=RpcError(Code.INTERNAL, REASON))) as host:
            await host.wait_registered(subject.options.startup_timeout)
            await host.wait_ended("its registration was refused")
            return Ended.of(host.program)

    return await subject.once("refused", refuse)


def _valid(said: RegisterPluginRequest) -> None:
    try:
        Registration.from_request(said)
    except RegistrationRefused as error:
        raise Failed(str(error)) from None


async def _goes_on(subject: Subject, answer: RegisterPluginResponse) -> None:
    async with subject.raw(response=answer) as link:
        await link.ping()
        await link.health()
