/** The SDK against a small runtime in this process, and whole plugin processes. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { AuthorizerService, ResolverService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { PluginManagementService, PluginService } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { ConfigError, fromEnvelope, Plugin, RegistrationError, StreamRefused } from "../src/index.js";
import { Link } from "../src/link.js";
import { keepAlive, runtimeApp, start } from "./runtime.js";

keepAlive();

async function get(link: Link, path: string): Promise<string> {
  const asked = request({ path, headers: { Host: "unix" }, createConnection: () => link.mux.open() });
  asked.end();
  const [response] = (await once(asked, "response")) as [Readable & { statusCode: number }];
  return `${response.statusCode} ${await text(response)}`;
}

describe("registration", () => {
  test("announces name, version, services and the secrets pattern", async () => {
    const { link, registrations, plugin, over } = start({
      secrets: { pattern: "a/**", get: () => [] },
      services: (router) => router.service(AuthorizerService, {}),
      registration: { capabilities: ["x"], priority: 3 },
    });
    await link.client(PluginService).shutdown({});
    await over;
    assert.equal(registrations.length, 1);
    const [said] = registrations;
    assert.equal(said?.name, "given");
    assert.equal(said?.version, "v1.0.0");
    assert.deepEqual(said?.services, ["resolver.v1.AuthorizerService"]);
    assert.deepEqual(said?.metadata.case === "secretsProvider" && said.metadata.value.pattern, "a/**");
    assert.deepEqual([said?.capabilities, said?.priority], [["x"], 3]);
    assert.equal(plugin.host.configurationJson, '{"a":1}');
  });

  test("a refusal ends the link with an error that says why", async () => {
    const { over } = start(
      {},
      {
        onRegister: () => {
          throw new ConnectError("the name is taken", Code.Internal);
        },
      },
    );
    await assert.rejects(over, (error: Error) => {
      assert.ok(error instanceof RegistrationError);
      assert.match(error.message, /"given".*the name is taken/);
      return true;
    });
  });

  test("a runtime that goes away ends the link with an error", async () => {
    const { over, link } = start({}, { onRegister: () => link.mux.abort() });
    await assert.rejects(over, RegistrationError);
  });

  test("requests wait until it is complete; health does not", async () => {
    const order: string[] = [];
    const early: Promise<unknown>[] = [];
    const { link, over } = start(
      { services: (router) => router.service(AuthorizerService, { authorize: () => ({ decision: 1 }) }) },
      {
        async onRegister() {
          early.push(
            link
              .client(AuthorizerService)
              .authorize({})
              .then(() => order.push("call")),
          );
          order.push(await get(link, "/health"));
        },
      },
    );
    await assert.doesNotReject(async () => {
      while (early.length === 0) await link.mux.ping();
      await Promise.all(early);
    });
    assert.deepEqual(order, ["200 ok", "call"]);
    await link.client(PluginService).shutdown({});
    await over;
  });
});

test("a name, a version or a pattern that a runtime refuses is refused at once", () => {
  const secrets = { pattern: "a*", get: () => [] };
  for (const options of [{ name: "" }, { name: "a\n" }, { version: "1.0.0" }, { version: "v1-rc" }, { secrets }]) {
    assert.throws(() => new Plugin({ version: "v1.0.0", name: "x", ...options }), ConfigError);
  }
  assert.equal(new Plugin({ version: "v1", name: "my plugin/x" }).registration.version, "v1");
});

describe("secrets", () => {
  const secrets = {
    pattern: "a/**",
    async *get() {
      yield { id: "a/b", value: "one", version: "3", expiresAt: new Date(5_000), metadata: { k: "v" } };
      yield { id: "a/c/d", value: new Uint8Array([1, 2]) };
    },
  };

  test("those that the pattern matches are given, with what is known of them", async () => {
    const { link, over } = start({ secrets });
    const { envelopes } = await link.client(ResolverService).getSecrets({ pattern: "a/*" });
    assert.equal(envelopes.length, 1);
    const [found] = envelopes;
    assert.deepEqual([found?.id, Buffer.from(found?.value ?? []).toString(), found?.version], ["a/b", "one", "3"]);
    assert.deepEqual([found?.expiresAt?.seconds, found?.metadata], [5n, { k: "v" }]);
    await link.close();
    await over;
  });

  test("a pattern that is not one is the error invalid argument", async () => {
    const { link, over } = start({ secrets });
    const resolver = link.client(ResolverService);
    for (const pattern of ["", "a//b", "a*", "a b", "x".repeat(4097)]) {
      await assert.rejects(resolver.getSecrets({ pattern }), { code: Code.InvalidArgument });
    }
    await link.close();
    await over;
  });

  test("those that the plugin's own pattern does not match are left out, and that is logged", async () => {
    const { link, over, plugin } = start({
      secrets: {
        pattern: "a/*",
        get: () => [
          { id: "a/b", value: "x" },
          { id: "b", value: "y" },
          { id: "c d", value: "z" },
        ],
      },
    });
    const { envelopes } = await link.client(ResolverService).getSecrets({ pattern: "**" });
    assert.deepEqual(
      envelopes.map(({ id }) => id),
      ["a/b"],
    );
    const stderr = test.mock.method(process.stderr, "write", () => true);
    plugin.printLog();
    assert.match(String(stderr.mock.calls[0]?.arguments[0]), /2 secrets were left out.*"ids":\["b","c d"\]/);
    stderr.mock.restore();
    await link.close();
    await over;
  });

  test("times that are unset go out as year 1, as Docker's programs have them, and come in as unset", async () => {
    const { link, over } = start({ secrets: { pattern: "**", get: () => [{ id: "a", value: "x" }] } });
    const [envelope] = (await link.client(ResolverService).getSecrets({ pattern: "a" })).envelopes;
    assert.ok(envelope);
    for (const time of [envelope.createdAt, envelope.resolvedAt, envelope.expiresAt]) {
      assert.equal(time && toJson(TimestampSchema, time), "0001-01-01T00:00:00Z");
    }
    assert.deepEqual(Object.keys(fromEnvelope(envelope)), ["id", "value", "version", "metadata"]);
    await link.close();
    await over;
  });

  test("none is the error not found", async () => {
    const { link, over } = start({ secrets });
    await assert.rejects(link.client(ResolverService).getSecrets({ pattern: "b" }), { code: Code.NotFound });
    await link.close();
    await over;
  });
});

describe("the host", () => {
  test("is called back from a handler", async () => {
    const { link, over } = start({
      services: (router, host) =>
        router.service(PluginManagementService, {
          async listPlugins() {
            const { decision } = await host.client(AuthorizerService).authorize({ patterns: ["x"] });
            return { plugins: [{ name: `decision ${decision}` }] };
          },
        }),
    });
    const { plugins } = await link.client(PluginManagementService).listPlugins({});
    assert.equal(plugins[0]?.name, "decision 1");
    await link.close();
    await over;
  });

  test("a call that loses the link is unavailable", async () => {
    const { link, over } = start({
      services: (router) => router.service(AuthorizerService, { authorize: () => new Promise(() => {}) }),
    });
    const call = link.client(AuthorizerService).authorize({});
    await link.mux.ping();
    link.mux.abort();
    await assert.rejects(call, { code: Code.Unavailable });
    await over;
  });
});

test("a caller that cancels aborts the handler's signal", async () => {
  let aborted!: () => void;
  const handlerAborted = new Promise<void>((resolve) => {
    aborted = resolve;
  });
  const cancel = new AbortController();
  const { link, over } = start({
    services: (router) =>
      router.service(AuthorizerService, {
        async authorize(_request, { signal }) {
          signal.addEventListener("abort", () => aborted());
          cancel.abort();
          await handlerAborted;
          return {};
        },
      }),
  });
  await assert.rejects(link.client(AuthorizerService).authorize({}, { signal: cancel.signal }), {
    code: Code.Canceled,
  });
  await handlerAborted;
  await link.close();
  await over;
});

test("a caller that ends its side before the response aborts the handler's signal", async () => {
  let started!: (signal: AbortSignal) => void;
  const handler = new Promise<AbortSignal>((resolve) => {
    started = resolve;
  });
  const { link, over } = start({
    services: (router) =>
      router.service(AuthorizerService, {
        authorize(_request, { signal }) {
          started(signal);
          return new Promise(() => {});
        },
      }),
  });
  const stream = link.mux.open().on("error", () => {});
  stream.write("POST /resolver.v1.AuthorizerService/Authorize HTTP/1.1\r\nHost: unix\r\n");
  stream.write("Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  const signal = await handler;
  stream.end();
  if (!signal.aborted) await once(signal, "abort");
  await link.close();
  await over;
});

describe("raw streams", () => {
  const echo = (stream: Duplex): Promise<void> => pipeline(stream, stream);

  test("the plugin serves them, with half close", async () => {
    const { link, over } = start({ streams: { "an echo": echo } });
    const stream = await link.openStream("an echo");
    stream.end("to and fro");
    assert.equal(await text(stream), "to and fro");
    await link.close();
    await over;
  });

  test("the plugin opens them", async () => {
    const { link, plugin, over } = start({}, { streams: { echo } });
    await get(link, "/health");
    const stream = await plugin.host.openStream("echo");
    stream.end("hello");
    assert.equal(await text(stream), "hello");
    await link.close();
    await over;
  });

  test("an unknown name is refused and named", async () => {
    const { link, over } = start({ streams: { echo } });
    await assert.rejects(link.openStream("nothing"), (error: Error) => {
      assert.ok(error instanceof StreamRefused);
      assert.match(error.message, /404.*"nothing"/);
      return true;
    });
    assert.match(await get(link, "/stream/echo"), /^426 /);
    await link.close();
    await over;
  });

  test("a handler that fails resets the stream", async () => {
    const { link, over } = start({
      streams: { bad: (stream) => once(stream, "data").then(() => Promise.reject(new Error("no"))) },
    });
    const stream = await link.openStream("bad");
    stream.write("x");
    await assert.rejects(text(stream), { code: "ECONNRESET" });
    await link.close();
    await over;
  });

  test("a megabyte passes unchanged", async () => {
    const { link, over } = start({ streams: { echo } });
    const stream = await link.openStream("echo");
    const data = "0123456789".repeat(100_000);
    stream.end(data);
    assert.equal(await text(stream), data);
    await link.close();
    await over;
  });
});

describe("a plugin that starts by itself", () => {
  test("registers on the runtime's socket, and again when the runtime comes back", async () => {
    const directory = mkdtempSync(join(tmpdir(), "plugmux-"));
    const path = join(directory, "s");
    const { app, registrations } = runtimeApp();
    const links: Link[] = [];
    let linked!: (link: Link) => void;
    const server = createHttpServer().on("upgrade", (asked, connection: Duplex, head: Buffer) => {
      assert.equal(asked.url, "/hijack");
      connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n");
      const link = new Link({ role: "server", app, input: connection, output: connection });
      if (head.length > 0) link.mux.feed(head);
      links.push(link);
      linked(link);
    });
    server.listen(path);
    const plugin = new Plugin({ version: "v1.0.0", name: "selfmade" });
    const first = new Promise<Link>((resolve) => {
      linked = resolve;
    });
    const over = plugin.serveDialling(`unix:${path}`);
    await get(await first, "/stream/none");
    const second = new Promise<Link>((resolve) => {
      linked = resolve;
    });
    links[0]?.mux.abort();
    await get(await second, "/stream/none");
    assert.deepEqual(
      registrations.map(({ name }) => name),
      ["selfmade", "selfmade"],
    );
    plugin.stop();
    await over;
    server.close();
    rmSync(directory, { recursive: true });
  });

  test("says where it looked when there is no runtime at the first try", async () => {
    const plugin = new Plugin({ version: "v1.0.0" });
    await assert.rejects(plugin.serveDialling("unix:/nonexistent/socket"), /no runtime at unix:\/nonexistent\/socket/);
  });

  test("a client cannot be used before there is a link", async () => {
    const { host } = new Plugin({ version: "v1.0.0" });
    await assert.rejects(createClient(AuthorizerService, host.transport).authorize({}), { code: Code.Unavailable });
  });
});
