/** Requests that come late, or that are no messages. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { describe, test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { AuthorizerService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { ConfigError, Plugin, type PluginOptions } from "../src/index.js";
import { createTransport } from "../src/transport.js";
import { keepAlive, start } from "./runtime.js";

keepAlive();

const PATH = "/resolver.v1.AuthorizerService/Authorize";
const REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const NO_MESSAGE = Buffer.from([0x0a, 0x7f]);

/** A plugin whose method fails as a caller's request asks it to. */
async function started(): Promise<ReturnType<typeof start>> {
  const services: PluginOptions["services"] = (router) =>
    router.service(AuthorizerService, {
      authorize: ({ patterns: [code] }) => {
        if (code) throw new ConnectError("as asked", Number(code));
        return { decision: 1 };
      },
    });
  const running = start({ services });
  while (running.registrations.length === 0) await new Promise(setImmediate);
  return running;
}

async function post(
  { link }: ReturnType<typeof start>,
  headers: Record<string, string>,
  body: Buffer,
  isWhole = true,
  path = PATH,
): Promise<[status: number | undefined, answer: string]> {
  const asked = request({
    path,
    method: "POST",
    headers: { Host: "unix", "Content-Type": "application/proto", ...headers },
    createConnection: () => link.mux.open(),
  });
  asked.on("error", () => {});
  asked.write(body);
  if (isWhole) asked.end();
  const [response] = (await once(asked, "response")) as [Readable & { statusCode?: number }];
  const answer = await text(response);
  asked.destroy();
  return [response.statusCode, answer];
}

describe("the body of a unary call", () => {
  test("that does not come is waited for until the deadline of the call", async () => {
    const running = await started();
    for (const headers of [{}, { "Content-Type": "application/json" }, { "Content-Encoding": "gzip" }]) {
      const [status, answer] = await post(running, { ...headers, "Connect-Timeout-Ms": "50" }, Buffer.of(0x0a), false);
      assert.equal(status, 504);
      assert.match(answer, /"deadline_exceeded"/);
    }
    assert.equal((await running.link.client(AuthorizerService).authorize({}, { timeoutMs: 60_000 })).decision, 1);
    running.link.mux.abort();
    await running.over;
  });

  test("that is no message is an invalid argument", async () => {
    const running = await started();
    for (const headers of [{}, { "Accept-Encoding": "gzip" }]) {
      const [status, answer] = await post(running, headers, NO_MESSAGE);
      assert.equal(status, 400);
      assert.deepEqual(JSON.parse(answer), {
        code: "invalid_argument",
        message: "the request is no message of the type resolver.v1.AuthorizeRequest",
      });
    }
    running.link.mux.abort();
    await running.over;
  });

  test("that the handler fails on has the code of the handler", async () => {
    const running = await started();
    const client = createClient(
      AuthorizerService,
      createTransport(() => running.link.mux.open()),
    );
    for (const code of [Code.Internal, Code.Unknown, Code.NotFound]) {
      await assert.rejects(
        client.authorize({ patterns: [String(code)] }),
        (error: ConnectError) => error.code === code,
      );
    }
    running.link.mux.abort();
    await running.over;
  });
});

describe("the body of a stream", () => {
  test("that does not go on is waited for until the deadline of the call", async () => {
    const running = start({});
    while (running.registrations.length === 0) await new Promise(setImmediate);
    const headers = { "Content-Type": "application/connect+proto", "Connect-Timeout-Ms": "50" };
    const [status, answer] = await post(running, headers, Buffer.alloc(3), false, REFLECTION);
    assert.equal(status, 200);
    assert.match(answer, /"deadline_exceeded"/);
    running.link.mux.abort();
    await running.over;
  });
});

describe("the settings of the mux", () => {
  test("are those of the plugin's links", async () => {
    const running = start({ mux: { maxStreams: 1, maxUnregisteredStreams: 1 } });
    const streams = [running.link.mux.open(), running.link.mux.open()];
    const [, refused] = streams.map((stream) => once(stream, "error"));
    for (const stream of streams) stream.write("GET");
    await refused;
    running.link.mux.abort();
    await Promise.allSettled([running.over]);
  });

  test("are checked at once", () => {
    assert.throws(() => new Plugin({ version: "v1.0.0", mux: { maxStreams: 0 } }), ConfigError);
  });
});
