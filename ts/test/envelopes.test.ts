/** The vectors of envelopes: bytes of a stream, and what a plugin answers. tests/vectors/README.md describes their form. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { buffer } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { REFLECTION } from "../src/reflection.js";
import { keepAlive, start } from "./runtime.js";

keepAlive();

const COMPRESSED = 1;
const END_STREAM = 2;

interface Case {
  readonly name: string;
  readonly encoding?: string;
  readonly body: string;
  readonly messages: number;
  readonly code?: string;
}

/** The messages that come before the end of a stream, and the code of the error that ends it, if one does. */
function readAnswer(body: Buffer): [messages: number, code: string | undefined] {
  let messages = 0;
  for (let at = 0; at < body.length; messages += 1) {
    const flags = body.readUInt8(at);
    const end = at + 5 + body.readUInt32BE(at + 1);
    const data = body.subarray(at + 5, end);
    at = end;
    if (!(flags & END_STREAM)) continue;
    const text = (flags & COMPRESSED ? gunzipSync(data) : data).toString();
    return [messages, (JSON.parse(text) as { error?: { code: string } }).error?.code];
  }
  throw new Error(`the stream has no end: ${body.toString("hex")}`);
}

describe("the envelopes of a stream", () => {
  const file = new URL("../../../../tests/vectors/envelopes.json", import.meta.url);
  const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: Case[] };
  let running: ReturnType<typeof start>;

  before(async () => {
    running = start({});
    while (running.registrations.length === 0) await new Promise(setImmediate);
  });
  after(async () => {
    running.link.mux.abort();
    await running.over;
  });

  for (const { name, encoding, body, messages, code } of cases) {
    test(name, async () => {
      const asked = request({
        path: `/${REFLECTION}/ServerReflectionInfo`,
        method: "POST",
        headers: {
          Host: "unix",
          "Content-Type": "application/connect+proto",
          ...(encoding && { "Connect-Content-Encoding": encoding }),
        },
        createConnection: () => running.link.mux.open(),
      });
      asked.end(Buffer.from(body, "hex"));
      const [response] = (await once(asked, "response")) as [Readable & { statusCode?: number }];
      assert.equal(response.statusCode, 200);
      assert.deepEqual(readAnswer(await buffer(response)), [messages, code]);
    });
  }
});
