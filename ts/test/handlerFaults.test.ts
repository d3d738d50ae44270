/** What handlers throw: the call ends with `internal`, the log tells why, and everything else goes on. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { HealthService } from "../../gen/ts/plugmux/v1/health_pb.js";
import { LogLevel, LogService, type LogRecord, WriteResponseSchema } from "../../gen/ts/plugmux/v1/log_pb.js";
import { AuthorizerService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { Link, LinkApp, type LinkAppOptions } from "../src/link.js";
import { connectionPair } from "../src/memoryConnection.js";
import { keepAlive } from "./runtime.js";
import { HandlerFaults } from "../src/handlerFaults.js";

keepAlive();

const FAULTS: [what: string, thrown: unknown][] = [
  ["an error", new TypeError("secret text")],
  ["a text", "secret text"],
  ["nothing", undefined],
  ["an AbortError of its own", new DOMException("secret text", "AbortError")],
  ["a TimeoutError of its own", new DOMException("secret text", "TimeoutError")],
];

interface Served extends Disposable {
  readonly link: Link;
  readonly told: [string, unknown][];
}

function serve(options: Partial<LinkAppOptions>): Served {
  const told: [string, unknown][] = [];
  const faults = new HandlerFaults((what, error) => told.push([what, error]));
  const [near, far] = connectionPair();
  const link = new Link({ role: "server", app: new LinkApp({ routes: () => {} }), input: near, output: near });
  const app = new LinkApp({ routes: () => {}, faults, ...options });
  new Link({ role: "client", app, input: far, output: far });
  return { link, told, [Symbol.dispose]: () => link.mux.abort() };
}

function isInternal(error: ConnectError): boolean {
  assert.equal(error.code, Code.Internal);
  assert.match(error.message, /the handler of .* has failed; the log of the plugin tells why/);
  assert.doesNotMatch(error.message, /secret/);
  return true;
}

for (const [what, thrown] of FAULTS) {
  describe(`${what}, thrown`, () => {
    const ways: [string, (router: ConnectRouter) => void][] = [
      ["at once", (router) => router.service(AuthorizerService, { authorize: () => fail(thrown) })],
      ["later", (router) => router.service(AuthorizerService, { authorize: async () => fail(thrown) })],
    ];
    for (const [when, routes] of ways) {
      test(`${when} by a unary handler, is the error internal`, async () => {
        using served = serve({ routes });
        await assert.rejects(served.link.client(AuthorizerService).authorize({}), isInternal);
        assert.deepEqual(served.told, [["resolver.v1.AuthorizerService/Authorize", thrown]]);
      });
    }

    test("by an interceptor, is the error internal", async () => {
      using served = serve({
        routes: (router) => router.service(AuthorizerService, {}),
        interceptors: [() => () => fail(thrown)],
      });
      await assert.rejects(served.link.client(AuthorizerService).authorize({}), isInternal);
      assert.equal(served.told.length, 1);
    });

    test("in the middle of a stream of answers, is the error internal behind them", async () => {
      using served = serve({
        routes: (router) =>
          router.service(HealthService, {
            async *watch() {
              yield {};
              fail(thrown);
            },
          }),
      });
      const answers = served.link.client(HealthService).watch({})[Symbol.asyncIterator]();
      assert.equal((await answers.next()).done, false);
      await assert.rejects(answers.next(), isInternal);
      assert.deepEqual(served.told, [["plugmux.v1.HealthService/Watch", thrown]]);
    });

    test("by a raw stream, resets it and is told", async () => {
      using served = serve({ streams: { x: () => fail(thrown) } });
      await assert.rejects(async () => {
        const stream = await served.link.openStream("x");
        await once(stream.resume(), "end");
      }, /reset by the peer/);
      assert.deepEqual(served.told, [["raw stream x", thrown]]);
    });
  });
}

function fail(thrown: unknown): never {
  throw thrown;
}

test("a ConnectError is an answer, and not a fault", async () => {
  const routes = (router: ConnectRouter): unknown =>
    router.service(AuthorizerService, { authorize: () => fail(new ConnectError("no", Code.DataLoss)) });
  using served = serve({ routes: (router) => void routes(router) });
  await assert.rejects(served.link.client(AuthorizerService).authorize({}), { code: Code.DataLoss });
  assert.deepEqual(served.told, []);
});

test("what a handler throws because its caller has left is no fault", async () => {
  const caller = new AbortController();
  let ended!: () => void;
  const hasEnded = new Promise<void>((resolve) => {
    ended = resolve;
  });
  using served = serve({
    routes: (router) =>
      router.service(AuthorizerService, {
        async authorize(_, { signal }) {
          caller.abort();
          await once(signal, "abort").finally(ended);
          signal.throwIfAborted();
          return {};
        },
      }),
  });
  await assert.rejects(served.link.client(AuthorizerService).authorize({}, { signal: caller.signal }));
  await hasEnded;
  await served.link.mux.ping();
  assert.deepEqual(served.told, []);
});

test("a path that makes no URL is answered, and ends nothing", async () => {
  using served = serve({ routes: (router) => router.service(AuthorizerService, { authorize: () => ({}) }) });
  const stream = served.link.mux.open();
  stream.write("POST /resolver.v1.AuthorizerService/Authorize HTTP/1.1\r\nHost: a b\r\nContent-Length: 0\r\n\r\n");
  const [answer] = (await once(stream, "data")) as [Buffer];
  assert.match(String(answer), /^HTTP\/1.1 400 /);
  stream.destroy();
  await served.link.client(AuthorizerService).authorize({});
});

test("a plugin logs a fault as one record of the level ERROR, with its stack", async () => {
  const { start } = await import("./runtime.js");
  const records: LogRecord[] = [];
  const { link, over } = start(
    { services: (router) => router.service(AuthorizerService, { authorize: () => fail(new RangeError("why")) }) },
    {
      routes: (router) =>
        router.service(LogService, {
          write(request) {
            records.push(...request.records);
            return create(WriteResponseSchema, {});
          },
        }),
    },
  );
  await assert.rejects(link.client(AuthorizerService).authorize({}), { code: Code.Internal });
  await link.close();
  await over;
  assert.equal(records.length, 1);
  assert.equal(records[0]?.level, LogLevel.ERROR);
  assert.match(records[0]?.message ?? "", /RangeError: why\n *at /);
});

test("a runtime that asks for it is told the stack", async () => {
  const faults = new HandlerFaults(() => {});
  faults.debug = true;
  const routes = (router: ConnectRouter): void => {
    router.service(AuthorizerService, { authorize: () => fail(new TypeError("no shelf")) });
  };
  using served = serve({ routes, faults });
  await assert.rejects(served.link.client(AuthorizerService).authorize({}), (error: ConnectError) => {
    assert.equal(error.code, Code.Internal);
    assert.match(error.message, /TypeError: no shelf\n\s+at .*handlerFaults\.test/);
    return true;
  });
});
