/** The answers to a request for an upgrade, as the programs that we meet write them. */

import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { upgrade } from "../src/upgrade.js";
import { connectionPair } from "../src/memoryConnection.js";
import { keepAlive } from "./runtime.js";

keepAlive();

const SWITCHED = "101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n";

async function ask(respond: (far: Duplex) => void, timeout = 60_000): Promise<Duplex> {
  const [near, far] = connectionPair();
  far.once("data", () => respond(far));
  return upgrade({ connect: () => near, path: "/hijack", headers: { Host: "x", Upgrade: "tcp" }, timeout });
}

function inPieces(text: string): (far: Duplex) => void {
  return (far) => {
    for (const character of text) far.write(character);
  };
}

describe("an upgrade", () => {
  for (const version of ["HTTP/1.1", "HTTP/0.0", "HTTP/1.0"]) {
    test(`is taken with ${version}, and what comes behind it can be read`, async () => {
      const connection = await ask((far) => far.write(`${version} ${SWITCHED}first bytes`));
      assert.equal(String(connection.read()), "first bytes");
      assert.equal(connection.listenerCount("error"), 0);
    });
  }

  test("is taken byte by byte", async () => {
    const connection = await ask(inPieces(`HTTP/0.0 ${SWITCHED}`));
    connection.unshift(Buffer.from("x"));
    const [data] = (await once(connection, "data")) as [Buffer];
    assert.equal(String(data), "x");
  });
});

describe("a refusal", () => {
  const refusals: [string, string][] = [
    ["with a length", "Content-Length: 6\r\n\r\nnot up, and more"],
    ["in chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n3;x=y\r\n up\r\n0\r\n\r\n"],
    ["without a length, until the end", "\r\nnot up"],
  ];
  for (const [how, rest] of refusals) {
    test(`${how} is told`, async () => {
      const asked = ask((far) => {
        inPieces(`HTTP/1.1 404 Not Found\r\n${rest}`)(far);
        if (how.includes("end")) far.end();
      });
      await assert.rejects(asked, { message: "404 not up" });
    });
  }

  const faults: [string, (far: Duplex) => void, RegExp][] = [
    ["an answer that is not HTTP", (far) => far.write("SSH-2.0-x\r\n\r\n"), /not HTTP/],
    ["a status that is no number", (far) => far.write("HTTP/1.1 1x1 y\r\n\r\n"), /not HTTP/],
    ["a head without an end", (far) => far.write("HTTP/1.1 101 x\r\n" + "a".repeat(20_000)), /over 16384 bytes/],
    ["the end of the connection", (far) => far.end("HTTP/1.1 101"), /ended before the answer/],
  ];
  for (const [what, respond, message] of faults) {
    test(`by ${what} is told`, () => assert.rejects(ask(respond), { message }));
  }

  test("by silence is told", () =>
    assert.rejects(
      ask(() => {}, 1),
      { message: /no answer within 0.001 s/ },
    ));
});
