/** The mux over a connection in memory: the life of a stream, the ends of a session, and peers that do wrong. */

import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { ConfigError, ProtocolViolation, SessionClosedError, SessionTimeout, StreamResetError } from "../src/errors.js";
import { Flag, FrameType, HEADER_SIZE } from "../src/yamux/frame.js";
import { type Config, Mux, type MuxStream } from "../src/yamux/index.js";
import { configure } from "../src/yamux/config.js";
import { bare, data, FakeClock, frame, syn, turns, WINDOW } from "./bare.js";
import { connectionPair } from "../src/memoryConnection.js";

// A connection in memory does not keep the process alive, as a socket does.
let alive: NodeJS.Timeout;
before(() => {
  alive = setInterval(() => {}, 60_000);
});
after(() => clearInterval(alive));

function pair(config: Partial<Config> = {}, slice?: number): { client: Mux; server: Mux } {
  const [near, far] = connectionPair(slice);
  return {
    client: new Mux({ role: "client", input: near, output: near, config }),
    server: new Mux({ role: "server", input: far, output: far, config }),
  };
}

function closed(stream: MuxStream): Promise<void> {
  return new Promise((resolve) => stream.once("close", () => resolve()));
}

function accepted(mux: Mux): Promise<MuxStream> {
  return new Promise((resolve) => mux.listen(resolve));
}

describe("a stream", () => {
  for (const slice of [undefined, 1, 7]) {
    test(`carries what is written to both ends, in pieces of ${slice ?? "any number of"} bytes`, async () => {
      const { client, server } = pair({}, slice);
      server.listen((stream) => stream.pipe(stream));
      const stream = client.open();
      const sent = Buffer.alloc(slice === 1 ? 10_000 : 700_000, "abc");
      stream.end(sent);
      assert.ok(sent.equals(await buffer(stream)));
      await client.close();
      assert.equal(server.streamCount, 0);
    });
  }

  test("waits for the reader at the other end", async () => {
    const { client, server } = pair();
    const far = accepted(server);
    const stream = client.open();
    stream.write(Buffer.alloc(2 * WINDOW));
    const unread = await far;
    await turns();
    assert.equal(server.memoryHeld, WINDOW + 4096);
    assert.ok(stream.writableLength > 0);
    unread.resume();
    stream.end();
    await once(unread, "end");
  });

  test("that nobody reads does not stop the others", async () => {
    const { client, server } = pair();
    const streams: MuxStream[] = [];
    server.listen((stream) => streams.push(stream.end()));
    client.open().write(Buffer.alloc(2 * WINDOW));
    const second = client.open();
    second.end("through");
    await turns();
    assert.equal(await text(streams[1] as MuxStream), "through");
  });

  test("that is destroyed resets the other end, which has read what came before", async () => {
    const { client, server } = pair();
    const far = accepted(server);
    const stream = client.open();
    stream.write("x");
    const other = await far;
    other.resume();
    await turns();
    stream.destroy();
    const [error] = (await once(other, "error")) as [Error];
    assert.ok(error instanceof StreamResetError);
  });

  test("that is destroyed or reset tells whoever waits for a write to go out", async () => {
    for (const cut of [(near: Duplex) => near.destroy(), (_: Duplex, far: Duplex) => far.destroy()]) {
      const { client, server } = pair();
      const far = accepted(server);
      const stream = client.open().on("error", () => {});
      const written = new Promise<unknown>((resolve) => void stream.write(Buffer.alloc(2 * WINDOW), resolve));
      const other = await far;
      other.on("error", () => {});
      await turns();
      cut(stream, other);
      assert.ok((await written) instanceof Error);
    }
  });

  test("that ends on both sides is forgotten by both", async () => {
    const { client, server } = pair();
    server.listen((stream) => stream.resume().end());
    for (let count = 0; count < 1000; count += 1) client.open().resume().end("x");
    await client.idle();
    await server.idle();
    assert.deepEqual([client.streamCount, server.streamCount], [0, 0]);
  });

  test("opened while the backlog is full goes out when another has been accepted", async () => {
    const { client, server } = pair({ acceptBacklog: 2 });
    const answers = Promise.all(Array.from({ length: 10 }, () => text(client.open().end())));
    await turns();
    server.listen((stream) => stream.resume().end("ok"));
    assert.deepEqual(new Set(await answers), new Set(["ok"]));
  });

  for (const [name, end] of [
    ["a reset", frame(FrameType.windowUpdate, Flag.rst, 1, 0)],
    ["a frame that ends the session", frame(FrameType.data, 0, 1, 0xffffffff)],
  ] as const) {
    test(`drops an answer to data that came together with ${name}`, async () => {
      const { mux, peer } = bare();
      const errors: Error[] = [];
      const answered = new Promise<unknown>((resolve) =>
        mux.listen((stream) => {
          stream.on("error", (error) => errors.push(error));
          stream.on("data", (piece: Buffer) => {
            if (String(piece) === "x") stream.write("answer", resolve);
          });
        }),
      );
      peer.write(data(1, Flag.syn, Buffer.from("-")));
      await turns();
      peer.write(Buffer.concat([data(1, 0, Buffer.from("x")), end]));
      await answered;
      await turns();
      assert.equal(errors.length, 1);
      assert.equal(mux.streamCount, 0);
    });
  }

  test("may be written to and cut off at any time without an unhandled error elsewhere", async () => {
    const { client, server } = pair();
    server.listen((stream) => stream.on("error", () => {}).destroy());
    const ends = Array.from({ length: 100 }, async () => {
      const stream = client.open().on("error", () => {});
      stream.write("x");
      await closed(stream);
    });
    await Promise.all(ends);
    assert.ok((await client.ping()) >= 0);
  });
});

describe("the end of a session", () => {
  test("tells streams, writers and pings why, once", async () => {
    const { client } = pair();
    const stream = client.open();
    const errors: unknown[] = [];
    stream.on("error", (error) => errors.push(error));
    stream.write(Buffer.alloc(2 * WINDOW));
    const ping = client.ping();
    const reason = new SessionClosedError("over");
    client.abort(reason);
    client.abort(new SessionClosedError("again"));
    await assert.rejects(ping, reason);
    await closed(stream);
    assert.deepEqual(errors, [reason]);
    assert.equal(await client.closed, reason);
    assert.throws(() => client.open(), SessionClosedError);
  });

  test("leaves what came before to be read", async () => {
    const { client, server } = pair();
    const far = accepted(server);
    client
      .open()
      .on("error", () => {})
      .write("last words");
    const stream = await far;
    await turns();
    client.abort();
    await turns();
    const seen: string[] = [];
    await assert.rejects(async () => {
      for await (const chunk of stream) seen.push(String(chunk));
    }, SessionClosedError);
    assert.deepEqual(seen, ["last words"]);
  });

  test("by close lets the other side end in order", async () => {
    const { client, server } = pair();
    await client.close();
    await client.close();
    assert.equal(await client.closed, undefined);
    assert.match((await server.closed)?.message ?? "", /the peer closed the connection/);
  });
});

describe("time limits", () => {
  test("a silent peer is pinged, and not given up where there is no limit", async () => {
    const clock = new FakeClock();
    const { mux, sent } = bare({ keepAliveInterval: 1_000, connectionWriteTimeout: 0 }, clock);
    await clock.pass(10_000);
    assert.equal(mux.isClosed, false);
    assert.equal(sent().length, 10 * HEADER_SIZE);
    mux.abort();
  });

  test("a silent peer is pinged, and given up when it stays silent", async () => {
    const clock = new FakeClock();
    const { mux, sent } = bare({}, clock);
    await clock.pass(30_000);
    assert.ok(sent().equals(frame(FrameType.ping, Flag.syn, 0, 0)));
    await clock.pass(10_000);
    assert.ok((await mux.closed) instanceof SessionTimeout);
  });

  test("any byte is life", async () => {
    const clock = new FakeClock();
    const { mux, peer } = bare({}, clock);
    await clock.pass(30_000);
    peer.write(frame(FrameType.ping, Flag.syn, 0, 5));
    await clock.pass(10_000);
    assert.equal(mux.isClosed, false);
  });

  test("a stream that is not accepted in time is reset, and the session goes on", async () => {
    const clock = new FakeClock();
    const { mux } = bare({ enableKeepAlive: false }, clock);
    const stream = mux.open();
    const failed = once(stream, "error");
    await clock.pass(75_000);
    assert.match(String((await failed)[0]), /did not accept stream 2 within 75 s/);
    assert.equal(mux.isClosed, false);
  });

  test("a stream closed here that the peer leaves open is reset in the end", async () => {
    const clock = new FakeClock();
    const { mux, peer, sent } = bare({ enableKeepAlive: false }, clock);
    const opened = accepted(mux);
    peer.write(syn(1));
    (await opened).destroySoon();
    await turns();
    await clock.pass(299_000);
    assert.equal(mux.streamCount, 1);
    await clock.pass(2_000);
    assert.equal(mux.streamCount, 0);
    assert.ok(
      sent()
        .subarray(-HEADER_SIZE)
        .equals(frame(FrameType.windowUpdate, Flag.rst, 1, 0)),
    );
  });

  test("a ping that is not answered fails", async () => {
    const clock = new FakeClock();
    const { mux } = bare({ enableKeepAlive: false }, clock);
    const ping = assert.rejects(mux.ping(), SessionTimeout);
    await clock.pass(10_000);
    await ping;
  });
});

describe("a hostile peer", () => {
  const overrun = Buffer.concat([syn(1), data(1, 0, Buffer.alloc(WINDOW)), data(1, 0, Buffer.alloc(1))]);
  for (const [what, bytes] of [
    ["overruns a window", overrun],
    ["overflows a window", Buffer.concat([syn(1), frame(FrameType.windowUpdate, 0, 1, 0xffff_ffff)])],
    ["announces 4 GiB", frame(FrameType.data, Flag.syn, 1, 0xffff_ffff)],
    ["uses an id twice", Buffer.concat([syn(1), syn(1)])],
    ["uses our parity", syn(2)],
    ["sends on a stream never opened", data(9, 0, Buffer.from("x"))],
    ["sends noise", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ] as const) {
    test(`that ${what} is told so, and its session ends with an error that names the rule`, async () => {
      const { mux, peer, sent } = bare();
      mux.listen((stream) => stream.on("error", () => {}));
      peer.write(bytes);
      const reason = await mux.closed;
      assert.ok(reason instanceof ProtocolViolation);
      assert.match(reason.message, /frame.*on stream/);
      await turns();
      assert.ok(
        sent()
          .subarray(-HEADER_SIZE)
          .equals(frame(FrameType.goAway, 0, 0, 1)),
      );
    });
  }

  test("that opens and resets at once costs no stream", async () => {
    const { mux, peer } = bare();
    let count = 0;
    mux.listen(() => (count += 1));
    const storm = Array.from({ length: 10_000 }, (_, index) => [
      syn(2 * index + 1),
      frame(FrameType.windowUpdate, Flag.rst, 2 * index + 1, 0),
    ]);
    peer.write(Buffer.concat(storm.flat()));
    await turns();
    assert.deepEqual([count, mux.streamCount, mux.isClosed], [0, 0, false]);
  });

  test("that opens more streams than are accepted has the rest reset", async () => {
    const { mux, peer, sent } = bare({ acceptBacklog: 10 });
    peer.write(Buffer.concat(Array.from({ length: 1_000 }, (_, index) => syn(2 * index + 1))));
    await turns();
    assert.equal(mux.streamCount, 10);
    assert.equal(sent().length / HEADER_SIZE, 990);
  });

  test("that has more open at once than it may has the rest reset", async () => {
    const { mux, peer } = bare({ maxStreams: 5 });
    mux.listen(() => {});
    peer.write(Buffer.concat(Array.from({ length: 50 }, (_, index) => syn(2 * index + 1))));
    await turns();
    assert.equal(mux.streamCount, 5);
  });

  test("that floods with pings and does not read is cut off", async () => {
    const { mux, peer } = bare({ maxIdleFrames: 0 });
    peer.write(Buffer.concat(Array.from({ length: 70_000 }, (_, index) => frame(FrameType.ping, Flag.syn, 0, index))));
    assert.match((await mux.closed)?.message ?? "", /asks for more than it reads/);
  });

  test("that fills many streams which nobody reads has them reset at the bound", async () => {
    const { mux, peer } = bare({ maxLinkMemory: 4 * WINDOW });
    const streams: MuxStream[] = [];
    mux.listen((stream) => streams.push(stream.on("error", () => {})));
    for (let id = 1; id < 40; id += 2) peer.write(Buffer.concat([syn(id), data(id, 0, Buffer.alloc(WINDOW))]));
    await turns();
    assert.equal(mux.isClosed, false);
    assert.ok(mux.memoryHeld > 3 * WINDOW && mux.memoryHeld <= 4 * WINDOW);
    assert.ok(streams.length < 20);
  });
});

test("ten thousand streams are open at once, and the last opens like the first", async () => {
  const { client, server } = pair();
  const far: MuxStream[] = [];
  server.listen((stream) => far.push(stream));
  const near = Array.from({ length: 10_000 }, () => client.open());
  while (far.length < 10_000) await client.ping();
  far[9_999]?.end("last");
  assert.equal(await text(near[9_999] as MuxStream), "last");
  client.abort();
  for (const stream of [...near, ...far]) stream.on("error", () => {});
});

describe("a configuration", () => {
  for (const [what, config] of [
    ["no backlog", { acceptBacklog: 0 }],
    ["a window below the one that peers assume", { streamWindowSize: WINDOW - 1 }],
    ["a window above its own maximum", { streamWindowSize: 2 * WINDOW, maxStreamWindowSize: WINDOW }],
    ["half a millisecond", { keepAliveInterval: 0.5 }],
  ] as const) {
    test(`with ${what} is refused`, () => assert.throws(() => configure(config), ConfigError));
  }
});
