/** Unary calls whose request comes as a whole; the HTTP server of Node.js must give the same response to the same bytes. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { Code, ConnectError, createContextKey, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { create, toBinary } from "@bufbuild/protobuf";
import { type JoinRequest, JoinRequestSchema, JoinService } from "../../gen/ts/plugmux/v1/join_pb.js";
import { Gate } from "../src/gate.js";
import { Link, LinkApp, type LinkAppOptions } from "../src/link.js";
import { connectionPair } from "../src/memoryConnection.js";
import { parseWholeRequest } from "../src/wholeRequest.js";
import { Mux, type MuxStream } from "../src/yamux/index.js";
import { keepAlive } from "./runtime.js";

keepAlive();

const PATH = "/plugmux.v1.JoinService/Join";

type Fields = Readonly<Record<string, string>>;

function request(body: Uint8Array | string, fields: Fields = {}, line = `POST ${PATH} HTTP/1.1`): Buffer {
  const bytes = Buffer.from(body);
  const all = { Host: "unix", "Content-Type": "application/proto", "Content-Length": bytes.length, ...fields };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${line}\r\n${head.join("")}\r\n`), bytes]);
}

const message = (token: string): Uint8Array => toBinary(JoinRequestSchema, create(JoinRequestSchema, { token }));

type Handler = (request: JoinRequest, context: HandlerContext) => unknown;

/** What a context says of its call. */
function descriptionOf({
  service,
  method,
  requestMethod,
  protocolName,
  url,
  values,
  timeoutMs,
}: HandlerContext): string {
  const own = values.get(createContextKey("of the context"));
  return [service.typeName, method.name, requestMethod, protocolName, url, own, timeoutMs()].join(" ");
}

/** Joins a mux to an app with one method; `open` gives a stream that is cut off at the end of the test. */
function join(
  handler: Handler,
  { gate, ...others }: Partial<LinkAppOptions> & { gate?: Gate } = {},
): { mux: Mux; open: () => MuxStream } {
  const [near, far] = connectionPair();
  const app = new LinkApp({
    routes: (router) => router.service(JoinService, { join: handler as never }),
    maxMessageBytes: 4096,
    ...others,
  });
  app.gate = gate;
  new Link({ role: "server", app, input: near, output: near });
  const mux = new Mux({ role: "client", input: far, output: far });
  return { mux, open: () => mux.open().on("error", () => {}) };
}

/** Joins a mux to an app with one method, and gives the streams as the server has them. */
function joinServed(join: () => { certificatePem: string }): { server: Mux; mux: Mux; served: MuxStream[] } {
  const app = new LinkApp({ routes: (router) => router.service(JoinService, { join }) });
  const [near, far] = connectionPair();
  const server = new Mux({ role: "server", input: near, output: near });
  const served: MuxStream[] = [];
  server.listen((stream) => {
    served.push(stream);
    app.serve(stream);
  });
  return { server, mux: new Mux({ role: "client", input: far, output: far }), served };
}

/** Reads one response: its status, its fields without those of the connection, and its body. */
async function response(stream: MuxStream): Promise<[status: string, fields: string[], body: string]> {
  let read = Buffer.alloc(0);
  for (;;) {
    const end = read.indexOf("\r\n\r\n");
    if (end >= 0) {
      const [status = "", ...fields] = read.toString("latin1", 0, end).toLowerCase().split("\r\n");
      const length = fields.find((field) => field.startsWith("content-length: "))?.split(" ")[1];
      const rest = read.subarray(end + 4);
      const chunked = fields.includes("transfer-encoding: chunked");
      if (chunked ? rest.includes("0\r\n\r\n") : rest.length >= Number(length ?? 0)) {
        const own = fields.filter((field) => !/^(date|connection|keep-alive):/.test(field));
        return [status, own.sort(), rest.toString("latin1")];
      }
    }
    const [chunk] = (await once(stream, "data")) as [Buffer];
    read = Buffer.concat([read, chunk]);
  }
}

const answering: Handler = ({ token: what }, context) => {
  const { requestHeader, responseHeader, responseTrailer, timeoutMs, signal } =
    what === "copy" ? { ...context } : context;
  responseHeader.set("x-told", requestHeader.get("x-tells") ?? "nothing");
  responseTrailer.set("x-end", "1");
  if (what === "nonsense") return { certificatePem: 1 };
  if (what === "signal") return { certificatePem: `${signal.aborted} ${signal.reason}` };
  if (what === "time") return { certificatePem: `${Math.round((timeoutMs() ?? 0) / 3_600_000)}` };
  if (what === "copy") return { certificatePem: descriptionOf(context) };
  if (what === "error") throw new ConnectError("no", Code.PermissionDenied, { "x-why": "because" });
  if (what === "fault") throw new Error("a secret");
  return { certificatePem: what === "long" ? "x".repeat(2000) : what };
};

describe("a whole request and one in pieces have the same response", () => {
  const cases: Record<string, Buffer> = {
    "a message": request(message("yes")),
    "an empty message": request(""),
    JSON: request('{"token": "yes"}', { "Content-Type": "application/json" }),
    "header fields": request(message("yes"), { "X-Tells": "a  b", "Connect-Protocol-Version": "1" }),
    "an error of the handler": request(message("error")),
    "a fault of the handler": request(message("fault")),
    "a long response": request(message("long"), { "Accept-Encoding": "gzip" }),
    "no message": request(Buffer.of(0x0a, 0x7f)),
    "no JSON": request("{", { "Content-Type": "application/json" }),
    "a message that is too large": request(message("x".repeat(5000))),
    "a timeout": request(message("time"), { "Connect-Timeout-Ms": "3600000" }),
    "a wrong timeout": request(message("yes"), { "Connect-Timeout-Ms": "soon" }),
    "a timeout that is over": request(message("signal"), { "Connect-Timeout-Ms": "0" }),
    "a copied context": request(message("copy"), { "X-Tells": "much" }),
    "a handler that returns no message": request(message("nonsense")),
    "another type": request(message("yes"), { "Content-Type": "text/plain" }),
    "an unknown method": request(message("yes"), {}, "POST /plugmux.v1.JoinService/Other HTTP/1.1"),
    "another verb": request(message("yes"), {}, `PUT ${PATH} HTTP/1.1`),
    "a host that is none": request(message("yes"), { Host: "1.2.3.4.5" }),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    test(name, async (context) => {
      context.mock.method(console, "error", () => {});
      const { mux, open } = join(answering);
      const [whole, pieces] = [open(), open()];
      whole.write(bytes);
      const expected = response(pieces);
      pieces.write(bytes.subarray(0, 9));
      await new Promise(setImmediate);
      pieces.write(bytes.subarray(9));
      assert.deepEqual(await response(whole), await expected);
      mux.abort();
    });
  }
});

describe("a stream", () => {
  test("takes one request after the other, whole or not", async () => {
    const { mux, open } = join(answering);
    const stream = open();
    for (const isWhole of [true, true, false, true]) {
      const bytes = request(message("yes"));
      const answer = response(stream);
      stream.write(isWhole ? bytes : bytes.subarray(0, 9));
      await new Promise(setImmediate);
      if (!isWhole) stream.write(bytes.subarray(9));
      assert.equal((await answer)[0], "http/1.1 200 ok");
    }
    mux.abort();
  });

  test("takes the next request before the response to the first", async () => {
    const waiting: (() => void)[] = [];
    const { mux, open } = join(async () => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return { certificatePem: "1" };
    });
    const stream = open();
    for (const _ of [1, 2]) {
      stream.write(request(message("yes")));
      await new Promise(setImmediate);
    }
    for (const _ of [1, 2]) {
      while (waiting.length === 0) await new Promise(setImmediate);
      const answer = response(stream);
      waiting.pop()?.();
      assert.equal((await answer)[0], "http/1.1 200 ok");
    }
    mux.abort();
  });

  test("ends with the response when the caller wants it to", async () => {
    const { mux, open } = join(answering);
    const stream = open();
    stream.write(request(message("yes"), { Connection: "close" }));
    await Promise.all([response(stream), once(stream, "end")]);
    mux.abort();
  });

  test("ends when its caller ends it", async () => {
    const { mux, open } = join(answering);
    const stream = open();
    stream.write(request(message("yes")));
    await response(stream);
    stream.end();
    stream.resume();
    await once(stream, "close");
    await mux.idle();
    mux.abort();
  });

  for (const leave of ["end", "destroy"] as const) {
    test(`tells the handler that the caller is gone: ${leave}`, async () => {
      let aborted: Promise<unknown> | undefined;
      const { mux, open } = join((_, { signal }) => (aborted = once(signal, "abort")));
      const stream = open();
      stream.write(request(message("yes")));
      while (!aborted) await new Promise(setImmediate);
      stream[leave]();
      await aborted;
      mux.abort();
    });
  }

  test("begins no further call while responses wait for a caller that does not read", async () => {
    const size = 100_000;
    const waiting: number[] = [];
    const { server, mux, served } = joinServed(() => {
      waiting.push(served[0]?.writableLength ?? NaN);
      return { certificatePem: "x".repeat(size) };
    });
    const stream = mux.open().on("error", () => {}); // Its own half is open when the link ends.
    const calls = 40;
    for (let call = 1; call <= calls; call++) {
      stream.write(request(message("yes"), { Connection: call < calls ? "keep-alive" : "close" }));
      await mux.ping(); // The server has it, in a frame of its own.
    }
    let read = "";
    for await (const chunk of stream) read += String(chunk);
    assert.equal(read.split("HTTP/1.1 200 OK").length - 1, calls);
    assert.ok(Math.max(...waiting) <= 5 * size, `a call began while ${Math.max(...waiting)} bytes waited`);
    server.abort();
  });

  test("leaves nothing behind of the requests that the server of Node.js has answered", async () => {
    const listeners: (number | undefined)[] = [];
    const { server, mux, served } = joinServed(() => {
      listeners.push(served[0]?.listenerCount("end"));
      return { certificatePem: "1" };
    });
    const stream = mux.open().on("error", () => {});
    for (let call = 0; call < 12; call++) {
      const bytes = request(message("yes"));
      stream.write(bytes.subarray(0, 9));
      await mux.ping();
      stream.write(bytes.subarray(9));
      await response(stream);
    }
    assert.equal(new Set(listeners).size, 1, `listeners at each call: ${listeners.join(" ")}`);
    server.abort();
  });

  test("is held until the gate is open", async () => {
    const gate = new Gate(60_000);
    let calls = 0;
    const { mux, open } = join(() => ({ certificatePem: String(++calls) }), { gate });
    const stream = open();
    stream.write(request(message("yes")));
    await mux.ping();
    assert.equal(calls, 0);
    gate.open();
    assert.equal((await response(stream))[0], "http/1.1 200 ok");
    mux.abort();
  });
});

describe("a plain call", () => {
  test("makes no signal and no Headers, for which its handler does not ask", async (context) => {
    const { mux, open } = join(() => ({ certificatePem: "1" }));
    const made: string[] = [];
    const real = { Headers, AbortController, URL };
    const counting = (name: string, constructor: new () => object): object =>
      new Proxy(constructor, {
        construct: (target, all) => {
          made.push(name);
          return Reflect.construct(target, all) as object;
        },
      });
    context.after(() => Object.assign(globalThis, real));
    for (const [name, constructor] of Object.entries(real)) {
      Object.assign(globalThis, { [name]: counting(name, constructor as new () => object) });
    }
    const stream = open();
    stream.write(request(message("yes")));
    assert.equal((await response(stream))[0], "http/1.1 200 ok");
    assert.deepEqual(made, []);
    mux.abort();
  });

  test("aborts its signal when the handler has ended, also one that is asked for afterwards", async () => {
    const contexts: HandlerContext[] = [];
    const signals: AbortSignal[] = [];
    const { mux, open } = join((_, context) => {
      if (contexts.push(context) === 2) signals.push(context.signal);
      return { certificatePem: "1" };
    });
    const stream = open();
    for (const _ of [1, 2]) {
      stream.write(request(message("yes")));
      await response(stream);
    }
    for (const { signal } of contexts) signals.push(signal);
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [true, true, true],
    );
    assert.equal(signals[0], signals[2]);
    mux.abort();
  });

  test("aborts its signal at the deadline", async () => {
    const { mux, open } = join(async (_, { signal }) => {
      await once(signal, "abort");
      throw signal.reason;
    });
    const stream = open();
    stream.write(request(message("yes"), { "Connect-Timeout-Ms": "1" }));
    const [status, , body] = await response(stream);
    assert.equal(status, "http/1.1 504 gateway timeout");
    assert.match(body, /"the operation timed out"/);
    mux.abort();
  });

  test("lets a handler set its own fields, and none of the connection's", async () => {
    const { mux, open } = join((_, { responseHeader }) => {
      for (const name of ["Date", "Connection", "Transfer-Encoding"]) responseHeader.set(name, "chunked");
      responseHeader.set("X-Own", "1");
      return { certificatePem: "1" };
    });
    const stream = open();
    stream.write(request(message("yes")));
    const [bytes] = (await once(stream, "data")) as [Buffer];
    const head = bytes.toString("latin1").split("\r\n\r\n")[0]?.toLowerCase().split("\r\n") ?? [];
    const names = head.slice(1).map((line) => line.split(":")[0]);
    assert.deepEqual(names.sort(), ["connection", "content-length", "content-type", "date", "x-own"]);
    assert.ok(head.includes("connection: keep-alive"));
    mux.abort();
  });

  test("is seen by interceptors", async () => {
    const seen: string[] = [];
    const interceptor: Interceptor = (next) => (call) => {
      seen.push(call.url);
      return next(call);
    };
    const { mux, open } = join(answering, { interceptors: [interceptor] });
    const stream = open();
    stream.write(request(message("yes")));
    await response(stream);
    assert.deepEqual(seen, [`http://unix${PATH}`]);
    mux.abort();
  });

  test("keeps to the options of its service", async () => {
    const implementation = { join: () => ({ certificatePem: "x".repeat(100) }) };
    const { mux, open } = join(answering, {
      routes: (router) => router.service(JoinService, implementation, { writeMaxBytes: 50 }),
    });
    const stream = open();
    stream.write(request(message("yes")));
    assert.equal((await response(stream))[0], "http/1.1 429 too many requests");
    mux.abort();
  });
});

test("heads are remembered, however many there are", () => {
  for (let number = 0; number < 200; number++) {
    const bytes = request(message("yes"), { "X-Number": String(number % 100) });
    assert.equal(parseWholeRequest(bytes)?.fields.get("x-number"), String(number % 100));
  }
  const bytes = request(message("yes"));
  assert.ok(parseWholeRequest(bytes));
  assert.equal(parseWholeRequest(bytes.subarray(0, -1)), undefined, "the body of a remembered head is checked");
});

test("a request is whole when all of its body is there, and nothing behind it", () => {
  const bytes = request(message("yes"), { "X-Tells": "  much " });
  for (let size = 0; size < bytes.length; size++) assert.equal(parseWholeRequest(bytes.subarray(0, size)), undefined);
  assert.equal(parseWholeRequest(Buffer.concat([bytes, Buffer.of(0)])), undefined);
  const parsed = parseWholeRequest(bytes);
  assert.ok(parsed);
  const { path, url, fields, type, close, body } = parsed;
  assert.deepEqual([path, url, type, close], [PATH, `http://unix${PATH}`, "application/proto", false]);
  assert.equal(fields.get("x-tells"), "much");
  assert.deepEqual(body, message("yes"));
});

test("every other form of a request is left to the server", () => {
  const plain = request("").toString();
  const others = [
    plain.replace("POST", "GET"),
    plain.replace("HTTP/1.1", "HTTP/1.0"),
    plain.replace(PATH, `${PATH}?a=b`),
    plain.replace(PATH, "/%72esolver/Authorize"),
    plain.replace("Host: unix", "Host: unix\r\nHost: unix"),
    plain.replace("Host: unix\r\n", ""),
    plain.replace("Host: unix", "Host: a b"),
    plain.replace("Host: unix", "Host: 1.2.3.4.5"),
    plain.replace("Host: unix", "Host: unix\r\n folded"),
    plain.replace("Host: unix", "Host : unix"),
    plain.replace("Host: unix", "Host: unix\nX: y"),
    plain.replace("Host: unix", "Host: unix\r\nX: \u00ff"),
    plain.replace("Host: unix", "Host: unix\r\nX:"),
    plain.replace("Host: unix", `Host: unix\r\nX: ${"y".repeat(5000)}`),
    plain.replace("Content-Length: 0", "Content-Length: +0"),
    plain.replace("Content-Length: 0", "Transfer-Encoding: chunked"),
    ...[
      "Transfer-Encoding: identity",
      "Content-Encoding: gzip",
      "Expect: 100-continue",
      "Upgrade: x",
      "Trailer: x",
    ].map((field) => plain.replace("Host: unix", `Host: unix\r\n${field}`)),
    plain.replace("Host: unix", "Host: unix\r\nConnection: upgrade"),
  ];
  assert.ok(parseWholeRequest(Buffer.from(plain)));
  for (const other of others) assert.equal(parseWholeRequest(Buffer.from(other, "latin1")), undefined, other);
});
