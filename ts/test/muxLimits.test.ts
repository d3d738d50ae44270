/** What a peer may cost: memory that nobody takes, floods, and its last bytes when it closes at once. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { describe, test } from "node:test";
import { ProtocolViolation } from "../src/errors.js";
import { Link, LinkApp } from "../src/link.js";
import { Flag, FrameType } from "../src/yamux/frame.js";
import { localConfig, Mux, type MuxStream } from "../src/yamux/index.js";
import { configure } from "../src/yamux/config.js";
import { WindowGrowth } from "../src/yamux/growth.js";
import { Inbox } from "../src/yamux/inbox.js";
import { StreamState } from "../src/yamux/state.js";
import { AuthorizerService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { bare, data, FakeClock, frame, syn, turns, WINDOW } from "./bare.js";
import { connectionPair } from "../src/memoryConnection.js";
import { keepAlive } from "./runtime.js";

keepAlive();

const ids = (count: number): number[] => Array.from({ length: count }, (_, index) => 2 * index + 1);
const RST = (id: number): Buffer => frame(FrameType.windowUpdate, Flag.rst, id, 0);

describe("windows", () => {
  const MIB = 1024 * 1024;

  /** The sizes of a window whose halves are credited one after another; `held` is the part of all that is kept. */
  const sizes = (growth: WindowGrowth, held: number, credits: number): number[] => {
    const stream = new StreamState(1, "established", 0);
    return Array.from({ length: credits }, () => {
      stream.consumed = stream.window / 2;
      stream.held += held * stream.consumed;
      growth.credit(stream, 0);
      return stream.window / MIB;
    });
  };

  const measured = (maxSessionWindowGrowth: number): WindowGrowth => {
    const growth = new WindowGrowth(configure({ maxSessionWindowGrowth }));
    growth.measured(20);
    return growth;
  };

  test("grow fast where the program takes what comes, and at once where another has", () => {
    const growth = measured(128 * MIB);
    assert.deepEqual(sizes(growth, 0, 4), [1, 4, 16, 16]);
    assert.deepEqual(sizes(growth, 0, 2), [16, 16]);
  });

  test("double up to 4 MiB where what comes is kept", () => {
    assert.deepEqual(sizes(measured(128 * MIB), 1, 6), [0.5, 1, 2, 4, 4, 4]);
  });

  test("are credited in small steps where they are large", () => {
    const growth = measured(128 * MIB);
    const stream = new StreamState(1, "established", 0);
    stream.window = 16 * MIB;
    stream.consumed = MIB - 1;
    assert.equal(WindowGrowth.isCreditDue(stream), false);
    stream.consumed = MIB;
    assert.equal(WindowGrowth.isCreditDue(stream), true);
    assert.equal(growth.credit(stream, 1000), MIB);
  });

  test("begin on a long line with what another has needed, up to a quarter of what they may grow by", () => {
    const begun = (growth: WindowGrowth, mayGrow = true): number => {
      const stream = new StreamState(3, "established", 0);
      growth.begin(stream, mayGrow);
      return (stream.window - WINDOW) / MIB;
    };
    const growth = measured(64 * MIB);
    assert.equal(begun(growth), 0);
    sizes(growth, 0, 3);
    growth.giveBack(16 * MIB - WINDOW);
    assert.equal(begun(growth, false), 0);
    assert.equal(begun(growth), 16 - WINDOW / MIB);
    assert.equal(begun(growth), WINDOW / MIB);
    assert.equal(begun(growth), 0);
    growth.measured(1);
    growth.giveBack(16 * MIB);
    assert.equal(begun(growth), 0);
  });

  test("leave half of what they may grow by to others where they are large", () => {
    const growth = measured(32 * MIB);
    assert.deepEqual(sizes(growth, 0, 4), [1, 4, 16, 16]);
    for (let count = 0; count < 4; count += 1) assert.deepEqual(sizes(growth, 0, 2), [4, 4]);
  });
});

describe("memory", () => {
  test("small pieces that nobody reads are joined", () => {
    const inbox = new Inbox();
    for (let count = 0; count < 10_000; count += 1) inbox.put(Buffer.from([count >> 8, count & 255]));
    assert.equal(inbox.size, 20_000);
    const pieces: Buffer[] = [];
    for (let piece = inbox.take(); piece; piece = inbox.take()) pieces.push(piece);
    assert.ok(pieces.length <= 4, `${pieces.length} pieces`);
    const all = Buffer.concat(pieces);
    for (let count = 0; count < 10_000; count += 1) assert.equal(all.readUInt16BE(2 * count), count);
  });

  test("of unfinished requests is bounded, by credit that is withheld; other calls go on", async () => {
    const limit = 8 * 1024 * 1024;
    const [near, far] = connectionPair();
    const app = new LinkApp({
      routes: (router) => router.service(AuthorizerService, { authorize: () => ({ decision: 1 }) }),
    });
    const link = new Link({ role: "server", app, input: near, output: near, config: { maxLinkMemory: limit } });
    const peer = new Mux({ role: "client", input: far, output: far });
    const size = 3 * 1024 * 1024;
    const head = `POST /resolver.v1.AuthorizerService/Authorize HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n`;
    const kinds = ["proto", "connect+proto"];
    for (const id of ids(40)) {
      const stream = peer.open().on("error", () => {});
      stream.write(`${head}Content-Type: application/${kinds[((id - 1) / 2) % 2]}\r\n\r\n`);
      const envelope = Buffer.alloc(size - 1);
      envelope.writeUInt32BE(size, 1);
      stream.write(envelope);
    }
    let most = 0;
    for (let round = 0; round < 200; round += 1) {
      await turns(2);
      most = Math.max(most, link.mux.memoryHeld);
    }
    assert.ok(most <= limit, `${most} bytes were held`);
    assert.ok(most > limit / 2, `${most} bytes were held`);
    peer.abort();
  });

  test("that is kept is given back with the request", async () => {
    const [near, far] = connectionPair();
    const app = new LinkApp({ routes: (router) => router.service(AuthorizerService, { authorize: () => ({}) }) });
    const link = new Link({ role: "server", app, input: near, output: near });
    const other = new Link({ role: "client", app: new LinkApp({ routes: () => {} }), input: far, output: far });
    const patterns = Array.from({ length: 1000 }, () => "x".repeat(1000));
    for (let round = 0; round < 20; round += 1) await other.client(AuthorizerService).authorize({ patterns });
    await link.mux.idle();
    assert.equal(link.mux.memoryHeld, 0);
    other.mux.abort();
  });

  test("and streams are few until the peer has registered", async () => {
    const { mux, peer, sent } = bare();
    mux.isRegistered = false;
    const streams: MuxStream[] = [];
    mux.listen((stream) => streams.push(stream.on("error", () => {})));
    peer.write(Buffer.concat(ids(40).map(syn)));
    await turns();
    assert.equal(streams.length, 32);
    peer.write(Buffer.concat(ids(8).map((id) => data(id, 0, Buffer.alloc(WINDOW)))));
    await turns();
    assert.ok(mux.memoryHeld <= 1024 * 1024);
    assert.ok(sent().length > 0);
    mux.isRegistered = true;
    peer.write(Buffer.concat([81, 83, 85, 87, 89, 91, 93, 95, 97].map(syn)));
    await turns();
    assert.equal(streams.length, 41);
  });
});

describe("floods", () => {
  test("of streams are accepted as their frames are read", async () => {
    const { mux, peer } = bare();
    let count = 0;
    mux.listen(() => (count += 1));
    peer.write(Buffer.concat(ids(500).map(syn)));
    await turns();
    assert.deepEqual([count, mux.isClosed], [500, false]);
  });

  const floods: [what: string, frames: Buffer[], message: RegExp][] = [
    [
      "streams that are opened and reset",
      ids(12_000).flatMap((id) => [syn(id), RST(id)]),
      /more than 1000 streams a second that it resets at once/,
    ],
    [
      "streams that are opened and ended",
      ids(12_000).map((id) => frame(FrameType.windowUpdate, Flag.syn | Flag.fin, id, 0)),
      /streams a second that it resets at once/,
    ],
    ["streams beyond those that it may have", ids(10_300).map(syn), /streams a second that it resets at once/],
    [
      "pings",
      Array.from({ length: 21_000 }, () => frame(FrameType.ping, Flag.syn, 0, 7)),
      /more than 2000 frames a second that change nothing/,
    ],
    [
      "answers to no ping",
      Array.from({ length: 21_000 }, () => frame(FrameType.ping, Flag.ack, 0, 7)),
      /more than 2000 frames a second that change nothing/,
    ],
    [
      "go-aways",
      Array.from({ length: 21_000 }, () => frame(FrameType.goAway, 0, 0, 0)),
      /more than 2000 frames a second that change nothing/,
    ],
    [
      "credit of no bytes",
      [syn(1), ...Array.from({ length: 21_000 }, () => frame(FrameType.windowUpdate, 0, 1, 0))],
      /more than 2000 frames a second that change nothing/,
    ],
    [
      "empty data",
      [syn(1), ...Array.from({ length: 21_000 }, () => frame(FrameType.data, 0, 1, 0))],
      /more than 2000 frames a second that change nothing/,
    ],
    [
      "frames on a stream that has ended",
      [syn(1), RST(1), ...Array.from({ length: 21_000 }, () => frame(FrameType.data, 0, 1, 0))],
      /more than 2000 frames a second that change nothing/,
    ],
  ];
  for (const [what, frames, message] of floods) {
    test(`of ${what} end the session`, async () => {
      // On a busy machine the frames take seconds: by its clock they would be no flood.
      const { mux, peer } = bare({ maxStreams: 100, enableKeepAlive: false }, new FakeClock());
      mux.listen((stream) => stream.on("error", () => {}));
      for (let start = 0; start < frames.length; start += 100) {
        peer.write(Buffer.concat(frames.slice(start, start + 100)));
        await turns(1); // It is a peer that reads.
      }
      const error = await mux.closed;
      assert.ok(error instanceof ProtocolViolation);
      assert.match(error.message, message);
    });
  }

  test("of streams that are reset may go on for ever at a lower rate", async () => {
    const clock = new FakeClock();
    const { mux, peer } = bare({ enableKeepAlive: false }, clock);
    mux.listen(() => {});
    let id = 1;
    for (let second = 0; second < 30; second += 1) {
      const frames: Buffer[] = [];
      for (let count = 0; count < 900; count += 1, id += 2) frames.push(syn(id), RST(id));
      peer.write(Buffer.concat(frames));
      await clock.pass(1_000);
    }
    assert.equal(mux.isClosed, false);
  });

  test("of what is not the peer's fault are excused, and a limit of 0 is none", async () => {
    const { mux, peer } = bare({ maxIdleFrames: 10, maxResets: 0 });
    mux.listen((stream) => stream.on("error", () => {}).destroy());
    for (const id of ids(100)) {
      peer.write(syn(id));
      await turns(1);
      peer.write(Buffer.concat(Array.from({ length: 32 }, () => data(id, 0, Buffer.from("late")))));
      await turns(1);
    }
    assert.equal(mux.isClosed, false);
    for (let count = 0; count < 200; count += 1) peer.write(frame(FrameType.ping, Flag.syn, 0, count));
    assert.match((await mux.closed)?.message ?? "", /more than 10 frames a second/);
  });

  test("of frames give way to everything else between two reads", async () => {
    const [near, far] = connectionPair();
    new Mux({ role: "server", input: near, output: near });
    far.resume();
    far.write(Buffer.concat(Array.from({ length: 3_000 }, (_, index) => frame(FrameType.ping, Flag.ack, 0, index))));
    await turns(1);
    assert.equal(near.isPaused(), true);
    await turns(2);
    assert.equal(near.isPaused(), false);
  });
});

test("a peer on the same machine may be held up for as long as it likes", async () => {
  const clock = new FakeClock();
  const [near] = connectionPair();
  near._write = () => {}; // It takes nothing.
  const mux = new Mux({ role: "client", input: near, output: near, clock, config: localConfig });
  mux
    .open()
    .on("error", () => {})
    .write("x");
  await turns();
  await clock.pass(3_600_000 / 60);
  assert.equal(mux.isClosed, false);
  mux.abort();
});

test("a session that has ended leaves no timer", async () => {
  const clock = new FakeClock();
  const { mux, peer } = bare({}, clock);
  const streams: MuxStream[] = [];
  mux.listen((stream) => streams.push(stream.on("error", () => {})));
  peer.write(Buffer.concat([syn(1), syn(3), data(3, 0, Buffer.from("unread"))]));
  const failed = assert.rejects(mux.ping());
  mux.open().on("error", () => {});
  await turns();
  peer.write(frame(FrameType.data, Flag.syn, 2, 0)); // an id that is not the peer's
  await mux.closed;
  await failed;
  for (const stream of streams) stream.destroy();
  await turns();
  peer.destroy();
  await turns();
  assert.equal(clock.running, 0);
});

test("the last bytes of a peer that closes at once are read, although a write fails first", async () => {
  const directory = mkdtempSync(join(tmpdir(), "plugmux-"));
  const path = join(directory, "s");
  const server = createServer().listen(path);
  await once(server, "listening");
  const PEER = `
import socket, struct, sys
def frame(kind, flags, length): return struct.pack(">BBHII", 0, kind, flags, 1, length)
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
sys.stdin.readline()
peer.sendall(frame(1, 1, 0) + frame(0, 0, 65536) + bytes(65536) + frame(1, 4, 0))`;
  const child = spawn("python3", ["-c", PEER, path], { stdio: ["pipe", "inherit", "inherit"] });
  const exited = once(child, "exit");
  const [connection] = (await once(server, "connection")) as [Socket];
  const mux = new Mux({ role: "server", input: connection, output: connection });
  const accepted = new Promise<MuxStream>((resolve) => mux.listen(resolve));
  writeSync((child.stdin as unknown as { _handle: { fd: number } })._handle.fd, "go\n");
  waitForEnd(child.pid ?? 0);
  await assert.rejects(mux.ping()); // It is written before anything is read, and fails.
  assert.equal((await buffer(await accepted)).length, 65_536);
  await mux.closed;
  await exited;
  server.close();
  rmSync(directory, { recursive: true });
});

/** Waits without letting the event loop turn, so that nothing is read meanwhile. */
function waitForEnd(pid: number): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (!/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "latin1"))) Atomics.wait(pause, 0, 0, 5);
}
