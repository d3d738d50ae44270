/** Joining a runtime that does not answer. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { DialError } from "../src/errors.js";
import { join, renewalDue } from "../src/network/join.js";
import { keepAlive } from "./runtime.js";

keepAlive();

test("a certificate is not renewed again at once by a clock that is ahead", () => {
  const hour = 3_600_000;
  const after = [0, 23 * hour, 24 * hour - 50_000, 24 * hour, 48 * hour];
  const due = after.map((now) => renewalDue(0, 24 * hour, now));
  assert.deepEqual(due, [16 * hour, 60_000, 5_000, 60_000, 60_000]);
});

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
