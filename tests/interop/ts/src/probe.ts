#!/usr/bin/env node
/** A plugin that tells its host what becomes of its handlers; tests/interop/probe/probe.py says how. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { type Host, plugin } from "plugmux";
import { AuditService, KeyValueService } from "../../../../examples/gen/ts/kv/v1/kv_pb.js";
import { SumService } from "../../gen/ts/sum/v1/sum_pb.js";

let audit: Client<typeof AuditService>;

const record = (event: string): Promise<unknown> => audit.record({ plugin: "probe", event });

/** Waits to be cancelled, and tells the host when it begins and ends. */
async function wait(what: string, signal: AbortSignal): Promise<void> {
  await record(`${what} begins`);
  if (!signal.aborted) await once(signal, "abort");
  await record(`${what} ends`);
}

/** The requests as they come, when the orders among them have been obeyed. */
async function* obeyed<Request extends { order: string }>(
  what: string,
  requests: AsyncIterable<Request>,
  signal: AbortSignal,
): AsyncIterable<Request> {
  for await (const request of requests) {
    if (request.order === "refuse") throw new ConnectError("as it was told", Code.FailedPrecondition);
    if (request.order === "wait") await wait(what, signal);
    yield request;
  }
}

async function* each<Request>(requests: Request[]): AsyncIterable<Request> {
  yield* requests;
}

async function* behind<Request>(first: Request, rest: AsyncIterable<Request>): AsyncIterable<Request> {
  yield first;
  yield* rest;
}

async function sayHello(host: Host, name: string): Promise<Buffer> {
  let stream: Duplex;
  try {
    stream = await host.openStream(name);
  } catch (error) {
    return Buffer.from(`refused: ${String(error)}`);
  }
  stream.end("hello");
  return Buffer.concat(await stream.toArray());
}

await plugin({
  version: "v1.0.0",
  services(router, host) {
    audit = host.client(AuditService);
    const sums = host.client(SumService);
    router.service(SumService, {
      async sum(requests, { signal }) {
        const came = [];
        for await (const request of obeyed("sum", requests, signal)) came.push(request);
        if (came[0]?.order === "forward") return sums.sum(each(came), { signal });
        return {
          sum: came.reduce((sum, { number }) => sum + number, 0n),
          ballast: came.reduce((sum, { ballast }) => sum + BigInt(ballast.length), 0n),
        };
      },
      async *running(requests, { signal }) {
        const came = obeyed("running", requests, signal)[Symbol.asyncIterator]();
        const first = await came.next();
        if (first.done) return;
        const rest = { [Symbol.asyncIterator]: () => came };
        if (first.value.order === "forward") return yield* sums.running(behind(first.value, rest), { signal });
        let sum = first.value.number;
        yield { sum };
        for await (const { number } of rest) yield { sum: (sum += number) };
      },
    });
    router.service(KeyValueService, {
      async get({ key }, { signal, timeoutMs }) {
        const [what, name = ""] = key.split(" ");
        if (what === "wait") await wait("get", signal);
        if (what === "forward") await audit.record({ plugin: "probe", event: "forward" }, { signal });
        if (what === "time") return { value: Buffer.from(String(timeoutMs() ?? "none")) };
        if (what === "open") return { value: await sayHello(host, name) };
        return { value: Buffer.from(key) };
      },
      async *watch({ key }, { signal }) {
        yield { value: Buffer.from("first") };
        if (key === "wait") return wait("watch", signal);
        try {
          while (!signal.aborted) yield { value: Buffer.alloc(65536) };
        } finally {
          await record("flood ends");
        }
      },
    });
  },
  streams: {
    echo: (stream) => pipeline(stream, stream, { end: false }),
    async sha256(stream) {
      const digest = createHash("sha256");
      for await (const data of stream.iterator({ destroyOnReturn: false })) digest.update(data as Buffer);
      stream.write(digest.digest("hex"));
    },
    async reset(stream) {
      await once(stream, "readable");
      throw new Error("reset, as the test wants it");
    },
  },
});
