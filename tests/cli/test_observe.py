"""`plugmux top` and `plugmux graph`: what a runtime's reports come to, as a table and as a picture."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugmux_proto.plugmux.v1.inspect_pb2 import HostStatus, MethodCalls, PluginStatus, WatchResponse

from plugmux.cli.observe.layout import laid_out
from plugmux.cli.observe.picture import Arrow, Box, Picture, as_mermaid, picture_of
from plugmux.cli.observe.rates import Rates
from plugmux.cli.observe.svg import as_svg
from plugmux.cli.observe.table import SORTS, View, lines, rows, summary

GET = "kv.v1.KeyValueService/Get"
HOSTILE = 'kv"]; click n0 "javascript:alert(1)" <script>alert(1)</script> \x1b[31m'


def report(second: int, *methods: MethodCalls, plugins: tuple[PluginStatus, ...] = ()) -> WatchResponse:
    made = WatchResponse(host=HostStatus(name="app", version="v2.0.0", pid=7), plugins=plugins, methods=methods)
    made.time.FromSeconds(second)
    made.host.resources.cpu_seconds = second / 2
    made.host.resources.memory_bytes = 64 << 20
    return made


def plugin(name: str, *, cpu: float = 0.0, **more: Any) -> PluginStatus:
    status = PluginStatus(name=name, version="v1.0.0", state="running", health="serving", circuit="closed", **more)
    status.since.FromSeconds(0)
    status.resources.cpu_seconds = cpu
    status.resources.memory_bytes = 20 << 20
    return status


def calls(count: int, errors: int = 0, *, of: str = "kv", by: str = "", method: str = GET) -> MethodCalls:
    slow = [0] * 40 + [count]
    return MethodCalls(caller=by, callee=of, method=method, calls=count, errors=errors, latency=slow)


def test_rates_are_what_was_between_two_reports() -> None:
    rates = Rates()
    rates.feed(report(10, calls(1000), plugins=(plugin("kv", pid=9, cpu=1.0),)))
    assert not rates.ready
    (row,) = rates.plugins()
    assert (row.calls.rate, row.cpu) == (0.0, None)
    rates.feed(report(12, calls(1500, 20), plugins=(plugin("kv", pid=9, cpu=1.5, restarts=2),)))
    assert rates.ready
    (row,) = rates.plugins()
    assert (row.calls.rate, row.calls.errors, row.cpu, row.restarts, row.memory) == (250.0, 10.0, 0.25, 2, 20 << 20)
    assert row.calls.p99 is not None
    assert rates.host_cpu == 0.5
    rates.feed(report(13, plugins=(plugin("kv", pid=9, cpu=1.5),)))  # nothing has changed
    (row,) = rates.plugins()
    assert (row.calls.rate, row.calls.p99) == (0.0, None)


def test_latencies_of_a_sample_are_told_to_be_that() -> None:
    rates = Rates()
    rates.feed(report(1))
    rates.feed(report(2, MethodCalls(callee="kv", method=GET, calls=600, latency=[0] * 40 + [100])))
    assert rates.total.timed == 1 / 6
    assert "(of 1 call in 6)" in summary(rates)
    rates.feed(report(3, MethodCalls(callee="kv", method=GET, calls=700, latency=[0] * 40 + [200])))
    assert rates.total.timed == 1
    assert "of 1 call" not in summary(rates)
    rates.feed(report(4))
    assert rates.total.timed is None


def test_replicas_are_one_row() -> None:
    rates = Rates()
    replicas = (plugin("kv", pid=1, in_flight=2), plugin("kv", pid=2, in_flight=3, replica=1))
    replicas[1].state = "crashed"
    rates.feed(report(1, plugins=replicas))
    (row,) = rates.plugins()
    assert (row.state, row.in_flight, row.memory) == ("running 1/2", 5, 40 << 20)


def test_rows_stand_in_the_order_that_was_chosen() -> None:
    rates = Rates()
    those = (plugin("a", pid=1), plugin("b", pid=2, restarts=5), plugin("c", pid=3))
    rates.feed(report(1, plugins=those))
    rates.feed(report(2, calls(10, of="c"), calls(5, 5, of="a"), plugins=those))
    order = {key: "".join(row[0] for row in rows(rates, View(key))) for key in SORTS}
    assert (order["n"], order["c"], order["e"], order["r"]) == ("abc", "cab", "abc", "bac")
    assert [row[:3] for row in rows(rates, View("c", methods=True))] == [("(host)", "c", GET), ("(host)", "a", GET)]


def test_no_line_is_wider_than_the_terminal() -> None:
    rates = Rates()
    rates.feed(report(1, plugins=(plugin("a" * 300),)))
    assert max(map(len, lines(rates, View(), 80))) == 80
    assert "1/1 plugins run" in summary(rates)


def test_a_picture_has_who_calls_whom() -> None:
    made = picture_of(
        [
            report(1, calls(5), plugins=(plugin("kv", services=["kv.v1.KeyValueService"]), plugin("idle"))),
            report(
                2,
                calls(7),
                calls(3, of="", by="kv", method="kv.v1.AuditService/Record"),
                calls(9, of="", by="kv", method="plugmux.v1.LogService/Write"),
                plugins=(plugin("kv", services=["kv.v1.KeyValueService"]), plugin("idle")),
            ),
        ]
    )
    assert [box.name for box in made.boxes] == ["", "kv", "idle"]
    assert set(made.arrows) == {
        Arrow("", "kv", "KeyValueService (7)"),
        Arrow("kv", "", "AuditService (3)"),
        Arrow("", "idle"),
    }
    assert as_mermaid(made).splitlines()[0] == "flowchart LR"
    assert '  n0 -->|"KeyValueService (7)"| n1' in as_mermaid(made)
    assert "  n0 -.-> n2" in as_mermaid(made)


def test_names_from_plugins_are_no_markup() -> None:
    made = picture_of([report(1, plugins=(plugin(HOSTILE),))])
    mermaid = as_mermaid(made)
    assert "<script" not in mermaid
    assert mermaid.count('"') == 4
    root = ElementTree.fromstring(as_svg(made))
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert any("<script>" in (element.text or "") for element in root.iter())


def test_a_picture_is_light_or_dark_as_whoever_looks_or_as_it_was_asked_for() -> None:
    picture = Picture((Box("a", "a"),), ())
    assert "prefers-color-scheme" in as_svg(picture)
    dark, light = as_svg(picture, dark=True), as_svg(picture, dark=False)
    assert ".paper { fill: #0d1117; }" in dark
    assert ".paper { fill: #0d1117; }" not in light
    assert "prefers-color-scheme" not in dark + light


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_boxes_never_overlap_and_all_is_within_the_picture(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = drawn
    boxes = tuple(Box(str(number), f"plugin {number}", ("running",) * (number % 4)) for number in range(count))
    arrows = tuple(Arrow(str(start), str(end), "calls") for start, end in pairs if start != end)
    layout = laid_out(Picture(boxes, arrows))
    places = list(layout.places.values())
    assert len(places) == count
    for index, one in enumerate(places):
        assert 0 <= one.x <= one.x + one.width <= layout.width
        assert 0 <= one.y <= one.y + one.height <= layout.height
        for other in places[index + 1 :]:
            apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert apart_x or one.y + one.height <= other.y or other.y + other.height <= one.y
    for number, arrow in enumerate(arrows):
        if number not in layout.back:
            assert layout.places[arrow.start].x < layout.places[arrow.end].x
    ElementTree.fromstring(as_svg(Picture(boxes, arrows)))


@pytest.fixture
def address(start: Any, plugin: Callable[[str], str], tmp_path: Path) -> str:
    """A runtime with a plugin."""
    address = f"unix:{tmp_path}/s"
    process = start("--plugin", plugin("one"), "--listen", address)
    "".join(iter(process.stderr.readline, f"listening on {address}\n"))
    return address


def test_elsewhere_than_on_a_terminal_the_table_is_printed_once(plugmux: Any, address: str) -> None:
    ran = plugmux("top", "--connect", address, "--interval", "0.1")
    (line,) = ran.lines
    assert line.split("\t")[:2] == ["one", "running"]
    told = json.loads(plugmux("top", "--once", "--json", "--interval", "0.1", "--connect", address).stdout)
    assert [row["name"] for row in told["plugins"]] == ["one"]
    assert told["runtime"]["pid"] > 0


def test_a_picture_of_a_runtime(plugmux: Any, address: str) -> None:
    ran = plugmux("graph", "--connect", address)
    assert ran.status == 0
    assert "one v1.2.3<br/>running<br/>kv.v1.KeyValueService" in ran.stdout.decode()
    ran = plugmux("graph", "--format", "svg", "--watch", "0.1", "--connect", address)
    assert ElementTree.fromstring(ran.stdout).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.fixture
def terminal(address: str) -> Iterator[tuple[int, int]]:
    """`plugmux top` on a terminal of 100 columns and 20 lines: its process and the terminal."""
    process, fd = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm"
        command = [sys.executable, "-m", "plugmux.cli", "top", "--interval", "0.2", "--connect", address]
        os.execv(command[0], command)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
    yield process, fd
    os.close(fd)


def test_on_a_terminal_it_follows_keys_and_leaves_it_as_it_was(terminal: tuple[int, int]) -> None:
    process, fd = terminal
    shown = ""

    def until(text: str) -> str:
        nonlocal shown
        while text not in shown:
            shown += os.read(fd, 65536).decode()
        frame = shown.rpartition("\x1b[H")[2]
        shown = ""
        return frame

    until("PLUGIN")
    before = termios.tcgetattr(fd)[3] & (termios.ICANON | termios.ECHO)
    assert before == 0
    os.write(fd, b"m")
    until("by memory  |")
    os.write(fd, b"\t")
    frame = until("CALLEE")
    assert all(len(re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line)) < 100 for line in frame.split("\r\n"))
    os.write(fd, b"q")
    until("\x1b[?25h\x1b[?1049l")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert termios.tcgetattr(fd)[3] & termios.ICANON
