/** The ends of links and of raw streams, beside peers that do not make them easy. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { parseLaunchConfig } from "../src/launch.js";
import { Link, LinkApp } from "../src/link.js";
import { withTimeout } from "../src/withTimeout.js";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { AuthorizerService, ResolverService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { connectionPair } from "../src/memoryConnection.js";
import { turns } from "./bare.js";
import { keepAlive, start } from "./runtime.js";

keepAlive();

type Running = ReturnType<typeof start>;

async function registered(running: Running): Promise<Running> {
  while (running.registrations.length === 0) await new Promise(setImmediate);
  return running;
}

async function end({ link, over }: Running): Promise<void> {
  link.mux.abort();
  await over.catch(() => {});
}

const UPGRADE = "GET /stream/a HTTP/1.1\r\nHost: unix\r\nConnection: Upgrade\r\nUpgrade: plugmux-stream\r\n\r\n";

describe("a link", () => {
  test("is closed in time although the peer on this machine does not read", async () => {
    const deaf = new Duplex({ read() {}, write() {} });
    const link = new Link({
      role: "client",
      app: new LinkApp({ routes: () => {} }),
      input: deaf,
      output: deaf,
      isLocal: true,
    });
    link.mux.open().on("error", () => {});
    await turns();
    await link.close(10, 10);
    assert.match(String(link.mux.reason?.message), /did not read/);
  });

  test("may be given more time than timers have", async (context) => {
    const timer = context.mock.method(globalThis, "setTimeout");
    await withTimeout(Number.POSITIVE_INFINITY, Promise.resolve());
    assert.equal(timer.mock.calls[0]?.arguments[1], 2 ** 31 - 1);
  });

  test("is launched with whole milliseconds, and no more than timers have", () => {
    for (const [nanoseconds, milliseconds] of [
      [2_299_999_999, 2_300],
      [1, 1],
      [3e15, 2 ** 31 - 1],
    ]) {
      const { timeout } = parseLaunchConfig(JSON.stringify({ name: "kv", timeout: nanoseconds, fd: 3 }));
      assert.equal(timeout, milliseconds);
    }
  });
});

describe("the largest message that a plugin accepts", () => {
  for (const [limit, isAccepted] of [
    [undefined, false],
    [5_100_000, true],
  ] as const) {
    test(`bounds what the runtime answers: ${limit ?? "4 MiB"}`, async () => {
      const answer = { envelopes: [{ id: "a", value: Buffer.alloc(5_000_000) }] };
      const routes = (router: ConnectRouter): void =>
        void router.service(ResolverService, { getSecrets: () => answer });
      const running = await registered(start({ ...(limit && { maxMessageBytes: limit }) }, { routes }));
      const asked = running.plugin.host.client(ResolverService).getSecrets({ pattern: "a" });
      if (isAccepted) assert.equal((await asked).envelopes[0]?.value.length, 5_000_000);
      else await assert.rejects(asked, { code: Code.ResourceExhausted });
      await end(running);
    });
  }
});

describe("a second request on a stream", () => {
  test("counts like the first for what is held of it", async () => {
    const [near, far] = connectionPair();
    const app = new LinkApp({ routes: (router) => router.service(AuthorizerService, { authorize: () => ({}) }) });
    const serving = new Link({ role: "client", app, input: far, output: far });
    const link = new Link({ role: "server", app: new LinkApp({ routes: () => {} }), input: near, output: near });
    const stream = link.mux.open();
    stream.on("error", () => {});
    const ask = (length: number): string =>
      `POST /resolver.v1.AuthorizerService/Authorize HTTP/1.1\r\nHost: unix\r\nContent-Type: application/proto\r\nContent-Length: ${length}\r\n\r\n`;
    stream.write(ask(0));
    await once(stream, "data");
    stream.resume().write(ask(200_001));
    stream.write(Buffer.alloc(200_000));
    while (stream.writableLength > 0) await turns();
    await turns();
    assert.ok(serving.mux.memoryHeld >= 200_000, `${serving.mux.memoryHeld} bytes`);
    link.mux.abort();
  });
});

describe("a raw stream", () => {
  test("that is reset while it waits for the registration does no harm", async (context) => {
    const uncaught = context.mock.fn();
    process.on("uncaughtException", uncaught);
    let register!: () => void;
    const mayRegister = new Promise<void>((resolve) => (register = resolve));
    const running = await registered(start({ streams: { a: async () => {} } }, { onRegister: () => mayRegister }));
    const stream = running.link.mux.open();
    stream.on("error", () => {});
    stream.write(UPGRADE);
    await turns();
    stream.destroy(new Error("the runtime leaves"));
    await turns();
    register();
    await turns();
    assert.equal(uncaught.mock.callCount(), 0);
    process.off("uncaughtException", uncaught);
    await end(running);
  });

  test("whose handler has not read it is released all the same", async () => {
    let served: Duplex | undefined;
    const running = await registered(
      start({
        streams: {
          a: async (stream) => {
            served = stream;
          },
        },
      }),
    );
    const stream = await running.link.openStream("a");
    stream.resume().end(Buffer.alloc(100_000));
    await once(stream, "close");
    while (!served?.destroyed) await new Promise(setImmediate);
    await end(running);
  });
});
