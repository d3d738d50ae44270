/** `plugmux/testing`: a host in memory around a plugin. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { AuthorizerService, Decision } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { VersionService } from "../../gen/ts/health/v1/health_pb.js";
import { RegisterService } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { ConfigError, Instances, Plugin, type PluginOptions, RegistrationError, Settings } from "../src/index.js";
import { SessionClosedError } from "../src/errors.js";
import { type PluginHost, pluginHost } from "../src/testing.js";

const settings = new Settings<{ region: string }>({
  parse: (value) => {
    const { region } = value as { region?: unknown };
    if (typeof region !== "string") throw new Error("the region is missing");
    return { region };
  },
  onChange: ({ region }) => {
    if (region === "moon") throw new Error("too far");
  },
});

const options: PluginOptions = {
  version: "v1.0.0",
  name: "subject",
  configuration: settings as Settings<unknown>,
  secrets: { pattern: "a/**", get: () => [{ id: "a/b", value: "secret" }] },
  services: (router, host) =>
    router.service(AuthorizerService, {
      async authorize({ patterns: [pattern = ""] }) {
        if (pattern === "fail") throw new Error("oh");
        host.log.warn("asked", { pattern, region: settings.value.region });
        const { version } = await host.client(VersionService).getVersion({});
        host.setHealth("", version !== "v2.0.0");
        return { decision: pattern === "yes" ? Decision.ALLOW : Decision.DENY };
      },
    }),
  streams: {
    async echo(stream) {
      stream.pipe(stream);
      await once(stream, "finish");
    },
  },
};

/** A host that is closed at the end of the test, also when the test fails. */
async function startHost(t: TestContext, ...args: Parameters<typeof pluginHost>): Promise<PluginHost> {
  const host = await pluginHost(...args);
  t.after(() => host.close());
  return host;
}

const version = { version: "v2.0.0" };
const given = {
  configuration: { region: "eu" },
  services: (router: Parameters<NonNullable<PluginOptions["services"]>>[0]) =>
    router.service(VersionService, { getVersion: () => version }),
};

test("a plugin is called on a link in memory, and what it does is seen", async (t) => {
  const host = await startHost(t, options, given);
  assert.equal(host.registration.name, "subject");
  assert.deepEqual(host.registration.services, ["resolver.v1.AuthorizerService"]);
  assert.equal(await host.isServing(), true);
  const { decision } = await host.client(AuthorizerService).authorize({ patterns: ["yes"] });
  assert.equal(decision, Decision.ALLOW);
  assert.deepEqual(
    host.calls.map(({ method }) => method),
    ["health.v1.VersionService/GetVersion"],
  );
  assert.equal(await host.isServing(), false);
  const entry = await host.waitForLog(({ message }) => message === "asked");
  assert.deepEqual([entry.level, entry.fields], ["warn", { pattern: "yes", region: "eu" }]);
  assert.deepEqual(
    (await host.secrets("**")).map(({ id, value }) => [id, Buffer.from(value).toString()]),
    [["a/b", "secret"]],
  );
  const stream = await host.openStream("echo");
  stream.end("hello");
  assert.equal((await buffer(stream)).toString(), "hello");
  await host.close();
  await host.close();
});

test("the same options serve one host after the other, and what a handler throws is in the logs", async (t) => {
  for (const region of ["eu", "us"]) {
    const host = await startHost(t, options, { ...given, configuration: { region } });
    await assert.rejects(host.client(AuthorizerService).authorize({ patterns: ["fail"] }), { code: Code.Internal });
    assert.match((await host.waitForLog(({ level }) => level === "error")).message, /Authorize has failed/);
    await host.client(AuthorizerService).authorize({ patterns: ["no"] });
    assert.equal((await host.waitForLog(({ level }) => level === "warn")).fields["region"], region);
    await host.close();
  }
});

test("a configuration is changed, and a wrong one is told of", async (t) => {
  await assert.rejects(startHost(t, options, { ...given, configuration: {} }), (error: Error) => {
    assert.ok(error instanceof RegistrationError);
    assert.match(error.message, /the region is missing/);
    return true;
  });
  await assert.rejects(startHost(t, options, { ...given, configuration: () => 1 }), ConfigError);
  const host = await startHost(t, options, given);
  await host.configure({ region: "us" });
  assert.equal(settings.value.region, "us");
  await assert.rejects(host.configure({ region: "moon" }), /too far/);
  assert.equal(settings.value.region, "us");
  await host.close();
});

test("instances are opened and released, and references go both ways", async (t) => {
  const released: string[] = [];
  const host = await startHost(t, {
    version: "v1.0.0",
    instances: new Instances<unknown>({
      services: [AuthorizerService],
      open: (configuration) => ({
        routes: (router) => router.service(AuthorizerService, { authorize: () => ({ decision: Decision.ALLOW }) }),
        onRelease: () => void released.push(JSON.stringify(configuration)),
      }),
    }),
  });
  const instance = await host.openInstance({ a: 1 });
  assert.equal((await instance.client(AuthorizerService).authorize({})).decision, Decision.ALLOW);
  await instance.release();
  assert.deepEqual(released, ['{"a":1}']);
  assert.match(host.lend({ routes: () => {} }), /^[0-9a-f]{32}$/);
  await host.close();
});

test("a registration that every runtime refuses is refused", async (t) => {
  await assert.rejects(startHost(t, { ...options, version: "1.0" }, given), ConfigError);
  await assert.rejects(startHost(t, options, { ...given, name: "a\n" }), RegistrationError);
  const host = await startHost(t, new Plugin(options), given);
  assert.equal(host.registration.version, "v1.0.0");
  await host.close();
});

test("a plugin registers once on a link", async (t) => {
  let refusal: unknown;
  const host = await startHost(
    t,
    {
      version: "v1.0.0",
      services: (router, runtime) =>
        router.service(AuthorizerService, {
          async authorize() {
            refusal = await runtime
              .client(RegisterService)
              .registerPlugin({ name: "again", version: "v1.0.0" })
              .catch((error: unknown) => error);
            return {};
          },
        }),
    },
    {},
  );
  await host.client(AuthorizerService).authorize({});
  assert.equal(ConnectError.from(refusal).code, Code.Internal);
  await host.close();
});

test("who waits for a record is told when the link ends", async (t) => {
  const host = await startHost(t, options, given);
  const waiting = assert.rejects(
    host.waitForLog(() => false),
    SessionClosedError,
  );
  await host.close();
  await waiting;
});
