/** What a plugin tells of itself while it runs: its health, what it waits for, and its log. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { RegisterPluginResponseSchema, RegisterService } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { PluginService } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { DiagnosticsService } from "../../gen/ts/plugmux/v1/diagnostics_pb.js";
import { HealthCheckResponse_ServingStatus as Status, HealthService } from "../../gen/ts/plugmux/v1/health_pb.js";
import { LogLevel, type LogRecord, LogService } from "../../gen/ts/plugmux/v1/log_pb.js";
import { Plugin, type Logger } from "../src/index.js";
import { Link, LinkApp } from "../src/link.js";
import { connectionPair } from "../src/memoryConnection.js";
import { keepAlive } from "./runtime.js";

keepAlive();

/** A runtime's log service, which keeps what it is given. */
class Taken {
  readonly records: LogRecord[] = [];
  dropped = 0n;
  #came: () => void = () => {};
  /** The text of a record that is refused, with those that come with it. */
  refused: string | undefined;
  #refuse!: () => void;
  readonly refusal = new Promise<void>((resolve) => (this.#refuse = resolve));

  take(records: readonly LogRecord[], dropped: bigint): void {
    if (records.some(({ message }) => message === this.refused)) {
      this.#refuse();
      throw new ConnectError("never", Code.InvalidArgument);
    }
    this.records.push(...records);
    this.dropped += dropped;
    this.#came();
  }

  async wait(count: number): Promise<LogRecord[]> {
    while (this.records.length < count) await new Promise<void>((resolve) => (this.#came = resolve));
    return this.records;
  }
}

/** A plugin that has registered with a runtime, which may serve the log. */
async function start(taken?: Taken, plugin = new Plugin({ version: "v1.0.0" })) {
  const [near, far] = connectionPair();
  let registered = (): void => {};
  const registration = new Promise<void>((resolve) => (registered = resolve));
  const app = new LinkApp({
    routes: (router) => {
      router.service(RegisterService, {
        registerPlugin() {
          registered();
          return create(RegisterPluginResponseSchema, {});
        },
      });
      if (!taken) return;
      router.service(LogService, {
        write({ records, dropped }) {
          taken.take(records, dropped);
          return {};
        },
      });
    },
  });
  const link = new Link({ role: "server", app, input: near, output: near });
  const over = plugin.serveOnce({ input: far, output: far }, "given", 60_000);
  await registration;
  return { link, plugin, over, log: plugin.host.log };
}

async function end({ link, over }: { link: Link; over: Promise<void> }): Promise<void> {
  await link.client(PluginService).shutdown({});
  await over;
  await link.close();
}

/** The health service under the name that gRPC has for it. */
function grpcHealth(link: Link) {
  const parent = { ...HealthService, typeName: "grpc.health.v1.Health" };
  const method = { ...HealthService.method.check, parent } as unknown as DescMethodUnary;
  return async (service: string): Promise<Status> => {
    const response = await link.transport.unary(method, undefined, undefined, undefined, { service } as never);
    return (response.message as unknown as { status: Status }).status;
  };
}

describe("health", () => {
  test("is served by every plugin, for itself and for its services", async () => {
    const started = await start();
    const health = grpcHealth(started.link);
    assert.equal(await health(""), Status.SERVING);
    assert.equal(await health("plugins.v1.PluginService"), Status.SERVING);
    started.plugin.host.setHealth("", false);
    assert.equal(await health(""), Status.NOT_SERVING);
    await assert.rejects(health("no.Such"), (error) => ConnectError.from(error).code === Code.NotFound);
    await end(started);
  });

  test("is watched", async () => {
    const started = await start();
    const abort = new AbortController();
    const seen: Status[] = [];
    await assert.rejects(async () => {
      for await (const { status } of started.link.client(HealthService).watch({}, { signal: abort.signal })) {
        seen.push(status);
        if (seen.length < 3) started.plugin.host.setHealth("", seen.length === 2);
        else abort.abort();
      }
    });
    assert.deepEqual(seen, [Status.SERVING, Status.NOT_SERVING, Status.SERVING]);
    await end(started);
  });
});

test("a dump tells what the event loop waits for", async () => {
  const started = await start();
  const { text } = await started.link.client(DiagnosticsService).dump({});
  assert.match(text, /event loop waits for:\n.*Timeout/s);
  await end(started);
});

describe("log records", () => {
  test("arrive with level, time and fields, in order, the last before the plugin ends", async () => {
    const taken = new Taken();
    const started = await start(taken);
    const error = new Error("inner");
    started.log.warn("low", { free: 3, error, big: 1n });
    started.log.debug("plain");
    started.log.error("last");
    await end(started);
    const [first, ...others] = await taken.wait(3);
    assert.equal(first?.level, LogLevel.WARNING);
    assert.deepEqual(JSON.parse(first?.fieldsJson ?? ""), { free: 3, error: error.stack, big: "1" });
    assert.ok(first?.time);
    assert.deepEqual(
      others.map(({ level, message, fieldsJson }) => [level, message, fieldsJson]),
      [
        [LogLevel.DEBUG, "plain", ""],
        [LogLevel.ERROR, "last", ""],
      ],
    );
  });

  test("that nobody takes fill a queue, which loses the oldest and counts them", async () => {
    const plugin = new Plugin({ version: "v1.0.0" });
    for (let n = 0; n < 1007; n++) plugin.host.log.info(String(n));
    const taken = new Taken();
    const started = await start(taken, plugin);
    const records = await taken.wait(1000);
    assert.deepEqual([records.length, records[0]?.message, taken.dropped], [1000, "7", 7n]);
    await end(started);
  });

  test("that the runtime refuses hold no others up", async () => {
    const taken = new Taken();
    taken.refused = "never";
    const started = await start(taken);
    started.log.info("never");
    await taken.refusal;
    started.log.info("later");
    assert.deepEqual([(await taken.wait(1))[0]?.message, taken.dropped], ["later", 1n]);
    await end(started);
  });

  test("of odd shape are bounded", async () => {
    const taken = new Taken();
    const started = await start(taken);
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    started.log.info("x".repeat(10_000), circle);
    started.log.info("y", { long: "z".repeat(10_000) });
    const bare = Object.create(null) as Record<string, unknown>;
    bare["self"] = bare;
    started.log.info("z", { bare });
    const [first, second, third] = await taken.wait(3);
    assert.deepEqual(JSON.parse(third?.fieldsJson ?? ""), { bare: "[object]" });
    assert.equal(first?.message.length, 8192);
    assert.deepEqual(JSON.parse(first?.fieldsJson ?? ""), { self: "[object Object]" });
    assert.deepEqual(Object.keys(JSON.parse(second?.fieldsJson ?? "") as object), ["cut"]);
    await end(started);
  });

  test("go to stderr where the runtime has no log service", async (context) => {
    const written: string[] = [];
    context.mock.method(process.stderr, "write", (text: string) => written.push(text) > 0);
    const started = await start();
    const log: Logger = started.log;
    log.info("one", { a: 1 });
    while (written.length < 1) await new Promise((resolve) => setTimeout(resolve, 1));
    log.info("two");
    assert.deepEqual(written, ['one {"a":1}\n', "two \n"]);
    await end(started);
  });
});
