/** How long a connection to a plugin that listens may take to become a link. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { listen } from "../src/network/listen.js";

test("a connection that becomes no link ends after ten seconds, and a link goes on", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let tellLink!: (link: Duplex) => void;
  const links = new Promise<Duplex>((resolve) => (tellLink = resolve));
  const listener = await listen({
    address: { scheme: "tcp", host: "127.0.0.1", port: 0 },
    credentials: undefined,
    serve: tellLink,
    hasRoom: () => true,
    tell: () => {},
  });
  const [becoming, idle] = [0, 0].map(() => connect(listener.address.port, "127.0.0.1"));
  assert.ok(becoming && idle);
  becoming.write("GET /hijack HTTP/1.1\r\nHost: plugin\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n");
  idle.write("GET /hijack HTTP/1.1\r\n");
  const link = await links;
  await once(becoming, "data");
  while (!(await isConnected(listener.address.port))) await new Promise(setImmediate);
  const ended = once(idle.resume(), "close");
  context.mock.timers.tick(10_000);
  await ended;
  assert.equal(link.destroyed, false);
  becoming.destroy();
  link.destroy();
  await listener.close();
});

test("a listener that is closed waits for no connection that has become no link", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] }); // The connections are not ended by their time.
  const listener = await listen({
    address: { scheme: "tcp", host: "127.0.0.1", port: 0 },
    credentials: undefined,
    serve: () => {},
    hasRoom: () => true,
    tell: () => {},
  });
  const [silent, begun] = [0, 0].map(() => connect(listener.address.port, "127.0.0.1"));
  assert.ok(silent && begun);
  begun.write("GET /health HTTP/1.1\r\nHost: plugin\r\n\r\n");
  await once(begun, "data");
  while (!(await isConnected(listener.address.port))) await new Promise(setImmediate);
  const ended = [silent, begun].map((socket) => once(socket.on("error", () => {}).resume(), "close"));
  await listener.close();
  await Promise.all(ended);
});

/** Whether the listener has taken the connections that came before. */
async function isConnected(port: number): Promise<boolean> {
  const last = connect(port, "127.0.0.1");
  last.write("GET /health HTTP/1.1\r\nHost: plugin\r\nConnection: close\r\n\r\n");
  const [answer] = (await once(last, "data")) as [Buffer];
  last.destroy();
  return answer.includes("ok");
}
