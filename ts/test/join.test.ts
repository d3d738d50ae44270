/** Joining a runtime that does not answer. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { DialError } from "../src/errors.js";
import { join } from "../src/network/join.js";
import { keepAlive } from "./runtime.js";

keepAlive();

test("a connection whose handshake is not answered ends with the attempt", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const connected = once(silent, "connection");
  const { port } = silent.address() as AddressInfo;
  const invitation = {
    address: { scheme: "tls", host: "127.0.0.1", port },
    token: "t",
    fingerprint: `sha256:${"0".repeat(64)}`,
  } as const;
  const joined = join(invitation, 100, () => {});
  joined.catch(() => {});
  const [socket] = (await connected) as [Socket];
  const ended = once(socket.on("error", () => {}).resume(), "close");
  await assert.rejects(joined, DialError);
  await ended;
  silent.close();
});
