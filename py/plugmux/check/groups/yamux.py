"""Checks of yamux: the plugin is its client, and takes what a peer may send."""

from __future__ import annotations

from ...connect.envelope import envelope
from ...services.reflection import ServerReflectionRequest
from ...yamux.frame import DATA, FIN, GO_AWAY, INITIAL_WINDOW, PING, RST, SYN, WINDOW_UPDATE, pack_header
from ..check import Group
from ..frames import RawStream
from ..methods import REFLECTION_PATH, padded
from ..outcome import Failed, NotApplicable, expect
from ..raw import RawLink, head_of
from ..subject import Subject

__all__ = ["GROUP"]

GROUP = Group("yamux", "Frames: windows, pings, ends of streams, and what breaks the protocol.")
LARGER_WINDOW = 1024 * 1024
BACKLOG = 256


@GROUP.add(
    "odd-streams",
    "The plugin opens streams with odd ids.",
    "The plugin is always the yamux client, whoever has dialled: else the ids of both ends meet.",
    required=True,
)
async def odd_streams(subject: Subject) -> None:
    link = await subject.shared_raw()
    even = [number for number in link.opened if number % 2 == 0]
    expect(not even, f"it opened stream {even[:1]}")


@GROUP.add(
    "ping",
    "A ping comes back with its number.",
    "Peers end a link whose pings stay unanswered.",
    required=True,
)
async def ping(subject: Subject) -> None:
    link = await subject.shared_raw()
    await link.ping(0xC0FFEE)
    expect(link.pongs[-1] == 0xC0FFEE, f"the number that came back is {link.pongs[-1]:#x}")


@GROUP.add(
    "ack",
    "The plugin acknowledges streams.",
    "A peer opens no more than 256 that have not been.",
    required=True,
)
async def ack(subject: Subject) -> None:
    link = await subject.shared_raw()
    number = await link.begin("/health", method="GET")
    await link.until(lambda: link.streams[number].acked, "the acknowledgement of a stream")
    await link.answer(number)


@GROUP.add(
    "split-frames",
    "Frames may be cut anywhere.",
    "The connection is a stream of bytes: a header comes in parts sooner or later.",
    required=True,
)
async def split_frames(subject: Subject) -> None:
    link = await subject.shared_raw()
    for byte in pack_header(PING, SYN, 0, 99):
        await link.send_apart(bytes([byte]))
    await link.until(lambda: 99 in link.pongs, "the answer to a ping that came byte by byte")


@GROUP.add(
    "syn-on-data",
    "A stream may be opened by a data frame.",
    "The specification allows it, and plugmux does it.",
    required=True,
)
async def syn_on_data(subject: Subject) -> None:
    link = await subject.shared_raw()
    await link.answer(await link.begin("/health", method="GET"))


@GROUP.add(
    "first-window",
    "A stream may be opened by a window update, which may give more credit at once.",
    "Go's yamux opens all streams so; a larger window is told by it.",
    required=True,
)
async def first_window(subject: Subject) -> None:
    link = await subject.shared_raw()
    number = link.new_stream()
    await link.send(WINDOW_UPDATE, SYN, number, LARGER_WINDOW)
    await link.write(number, head_of("/health", None, method="GET"))
    await link.answer(number)


@GROUP.add(
    "credit",
    "The plugin gives credit for what it has read.",
    "Without it no request is longer than 256 KiB.",
    required=True,
)
async def credit(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    link = await subject.shared_raw()
    stream = await link.begin(method.path, padded(method, 3 * INITIAL_WINDOW), content_type=method.content_type)
    await link.answer(stream)


@GROUP.add(
    "send-window",
    "The plugin sends no more than it has credit for, and goes on when it gets more.",
    "A peer ends the link of one that sends more, and one that does not go on hangs.",
    required=True,
)
async def send_window(subject: Subject) -> None:
    described = [m.path.split("/")[1] for m in (await subject.methods()).found if m.descriptor]
    if not described:
        raise NotApplicable("reflection, whose answers can be made long, tells of nothing")
    question = envelope(ServerReflectionRequest(file_containing_symbol=described[0]).SerializeToString())
    link = await subject.shared_raw()
    one = len((await _ask(link, question)).data)
    count = 2 * INITIAL_WINDOW // max(one // 2, 1) + 1
    link.credits = False
    try:
        await _more_than_a_window(link, question * count)
    finally:
        link.credits = True


async def _ask(link: RawLink, questions: bytes) -> RawStream:
    number = await link.begin(REFLECTION_PATH, questions, content_type="application/connect+proto")
    stream = link.streams[number]
    await link.until(lambda: stream.finished or stream.reset, "the end of reflection's answers")
    return stream


async def _more_than_a_window(link: RawLink, questions: bytes) -> None:
    number = await link.begin(REFLECTION_PATH, questions, content_type="application/connect+proto")
    stream = link.streams[number]
    await link.until(lambda: len(stream.data) >= INITIAL_WINDOW or stream.reset, f"{INITIAL_WINDOW} bytes of answers")
    await link.ping()
    await link.ping()
    came = len(stream.data)
    expect(not stream.reset, "it reset the stream")
    expect(came == INITIAL_WINDOW, f"it sent {came} bytes with a credit of {INITIAL_WINDOW}")
    link.credits = True
    await link.send(WINDOW_UPDATE, 0, number, came)
    await link.until(lambda: len(stream.data) > came or stream.reset, "more, after more credit")
    await link.until(lambda: stream.finished or stream.reset, "the end of the stream")


@GROUP.add(
    "half-close",
    "A stream that the runtime ends within a request is ended by the plugin too.",
    "It waits for the rest otherwise, and the stream stays open for ever.",
    required=True,
)
async def half_close(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    link = await subject.shared_raw()
    number = await link.begin(method.path, content_type=method.content_type, length=10)
    await link.send(WINDOW_UPDATE, FIN, number, 0)
    stream = link.streams[number]
    await link.until(lambda: stream.finished or stream.reset, "the plugin's end of a stream that was ended")


@GROUP.add(
    "reset",
    "A reset ends one stream, and nothing else.",
    "It is how a call is cancelled.",
    required=True,
)
async def reset(subject: Subject) -> None:
    link = await subject.shared_raw()
    number = await link.begin("/health", method="GET", length=0)
    await link.send(WINDOW_UPDATE, RST, number, 0)
    await link.ping()
    await link.health()


@GROUP.add(
    "ended-stream",
    "Frames of a stream that has ended are ignored.",
    "They were on their way when it ended.",
    required=True,
)
async def ended_stream(subject: Subject) -> None:
    link = await subject.shared_raw()
    number = link.new_stream()
    await link.send(WINDOW_UPDATE, SYN, number, 0)
    await link.send(WINDOW_UPDATE, RST, number, 0)
    await link.send(DATA, 0, number, 5, b"hello")
    await link.send(WINDOW_UPDATE, 0, number, 5)
    await link.ping()
    await link.health()


@GROUP.add(
    "backlog",
    "256 streams may be opened at once before any of them carries a byte.",
    "It is the backlog that all peers assume.",
    required=True,
)
async def backlog(subject: Subject) -> None:
    link = await subject.shared_raw()
    numbers = [link.new_stream() for _ in range(BACKLOG)]
    for number in numbers:
        await link.send(WINDOW_UPDATE, SYN, number, 0)
    await link.ping()
    await link.write(numbers[-1], head_of("/health", None, method="GET"))
    await link.answer(numbers[-1])
    for number in numbers:
        await link.reset(number)


@GROUP.add(
    "go-away",
    "After the runtime's go-away, calls under way are still answered, and the plugin opens no streams.",
    "It is how a runtime closes without losing anything.",
    required=True,
)
async def go_away(subject: Subject) -> None:
    method = (await subject.methods()).unary()
    async with subject.raw() as link:
        await link.health()
        number = await link.begin(method.path, content_type=method.content_type, length=len(method.body))
        await link.ping()
        opened = len(link.opened)
        await link.send(GO_AWAY, 0, 0, 0)
        if method.body:
            await link.write(number, method.body)
        await link.answer(number)
        expect(len(link.opened) == opened, f"it opened stream {link.opened[-1]} after it")


@GROUP.add(
    "bad-version",
    "A frame of another version ends the link.",
    "Whatever follows cannot be read; a link that goes on waits for ever.",
    required=True,
)
async def bad_version(subject: Subject) -> None:
    async with subject.raw() as link:
        await link.send_bytes(b"\x07" + pack_header(PING, SYN, 0, 1)[1:])
        await link.until_ended("a frame of version 7")


@GROUP.add(
    "bad-type",
    "A frame of an unknown type ends the link.",
    "How long it is cannot be known, so what follows cannot be read.",
    required=True,
)
async def bad_type(subject: Subject) -> None:
    async with subject.raw() as link:
        await link.send(9, 0, 0, 0)
        await link.until_ended("a frame of type 9")


@GROUP.add(
    "over-window",
    "A data frame longer than its stream's window ends the link or the stream, before its bytes come.",
    "What waits for them keeps as much memory as its peer likes.",
    required=True,
)
async def over_window(subject: Subject) -> None:
    async with subject.raw() as link:
        number = link.new_stream()
        await link.send(WINDOW_UPDATE, SYN, number, 0)
        await link.send(DATA, 0, number, 1 << 30)
        stream = link.streams[number]
        await link.until(
            lambda: link.ended or link.go_away or stream.reset, "the end of the link after a frame of 1 GiB"
        )


@GROUP.add(
    "twice-opened",
    "A stream that is opened twice ends the link or is reset.",
    "The two ends do not agree on what is open.",
    required=True,
)
async def twice_opened(subject: Subject) -> None:
    async with subject.raw() as link:
        number = link.new_stream()
        await link.send(WINDOW_UPDATE, SYN, number, 0)
        await link.send(WINDOW_UPDATE, SYN, number, 0)
        await _refused(link, number, "a stream that was opened twice")


@GROUP.add(
    "wrong-side",
    "A stream that the runtime opens with an odd id ends the link or is reset.",
    "These ids are the plugin's own.",
    required=False,
)
async def wrong_side(subject: Subject) -> None:
    async with subject.raw() as link:
        await link.ping()
        await link.send(WINDOW_UPDATE, SYN, 9001, 0)
        await _refused(link, 9001, "a stream with an odd id")


async def _refused(link: RawLink, number: int, what: str) -> None:
    """Wait for the end of the link, or for a reset; an answer to a ping behind it tells that neither comes."""
    stream = link.streams.get(number)
    await link.send(PING, SYN, 0, 1)
    pongs = len(link.pongs)
    await link.until(
        lambda: link.ended or link.go_away or (stream and stream.reset) or len(link.pongs) > pongs,
        f"an answer to {what}",
    )
    stream = link.streams.get(number)
    if not (link.ended or link.go_away or (stream and stream.reset)):
        raise Failed(f"it took {what}")
