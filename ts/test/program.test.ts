/** Plugins as whole processes: how they are launched, and how they end. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { PluginService, RegisterService } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { AuthorizerService, ResolverService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { type Ends, Link, LinkApp } from "../src/link.js";
import { bundledFixture } from "./bundle.js";

const FIXTURE = bundledFixture();
const OURS = "PLUGMUX_PLUGIN_LAUNCH_CFG";
const COMPATIBLE = "DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG";

interface Launched {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown[]>;
  readonly link: Link;
  readonly ends: Ends;
  readonly registered: Promise<string>;
}

/** Launches the fixture over a socket, or over two pipes. */
function launch(way: "socket" | "pipes", variable = OURS, refuse?: string, more: object = {}): Launched {
  const ends = way === "pipes" ? { r: 3, w: 4 } : { fd: 3 };
  const config = JSON.stringify({ name: "fixture", timeout: 60e9, ...ends, ...more });
  const child = spawn(process.execPath, [FIXTURE], {
    stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
    env: { ...process.env, [variable]: config },
  });
  const output = child.stdio[3] as Duplex;
  const input = way === "pipes" ? (child.stdio[4] as unknown as Duplex) : output;
  let tell!: (name: string) => void;
  const registered = new Promise<string>((resolve) => {
    tell = resolve;
  });
  const app = new LinkApp({
    routes: (router) =>
      router.service(RegisterService, {
        registerPlugin({ name }) {
          if (refuse) throw new ConnectError(refuse);
          tell(name);
          return {};
        },
      }),
  });
  const link = new Link({ role: "server", app, input, output });
  return { child, exited: once(child, "exit"), link, ends: { input, output }, registered };
}

/** Waits until the plugin serves: its gate holds this call back until it has the answer to its registration. */
async function served(link: Link): Promise<void> {
  await assert.rejects(link.client(ResolverService).getSecrets({ pattern: "none" }), { code: Code.NotFound });
}

async function run(env: Readonly<Record<string, string>>): Promise<{ code: unknown; out: string; err: string }> {
  const child = spawn(process.execPath, [FIXTURE], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { code, out, err };
}

describe("started by hand", () => {
  test("it says what it is and how it is used, and exits with 2", async () => {
    const { code, err } = await run({});
    assert.equal(code, 2);
    assert.match(err, /^fixture v1\.2\.3 is a plugmux plugin/);
    assert.match(err, /secrets fixture\/\*\*/);
    assert.match(err, /PLUGMUX_SOCKET=unix:\/path node \//); // the file has no run bit
  });

  for (const [what, config] of [
    ["no JSON", "{"],
    ["a standard stream", '{"name":"a","timeout":1,"fd":2}'],
  ] as const) {
    test(`a launch configuration with ${what} is said, with exit status 2`, async () => {
      const { code, err } = await run({ [OURS]: config });
      assert.equal(code, 2);
      assert.match(err, /^fixture: the launch configuration /);
    });
  }

  test("an address that is none is said, with exit status 2", async () => {
    const { code, err } = await run({ PLUGMUX_SOCKET: "tcp:1" });
    assert.deepEqual([code, err.includes("write unix:/path or unix:@name")], [2, true]);
  });

  test("an address where nobody listens is said, with exit status 1", async () => {
    const { code, err } = await run({ PLUGMUX_SOCKET: "unix:/nonexistent/socket" });
    assert.deepEqual([code, err.includes("no runtime at unix:/nonexistent/socket")], [1, true]);
  });
});

for (const way of ["socket", "pipes"] as const) {
  describe(`launched over ${way}`, () => {
    test("it registers, is called, and ends with Shutdown", async () => {
      const { link, registered, exited } = launch(way, COMPATIBLE);
      assert.equal(await registered, "fixture");
      await link.client(PluginService).shutdown({});
      await link.close();
      assert.deepEqual(await exited, [0, null]);
    });

    test("it ends when the runtime vanishes, although a timer keeps its loop alive", async () => {
      const { link, registered, exited } = launch(way);
      await registered;
      await served(link);
      link.mux.abort();
      assert.deepEqual(await exited, [0, null]);
    });

    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      test(`it ends in order with ${signal}`, async () => {
        const { child, link, registered, exited } = launch(way);
        await registered;
        await served(link);
        child.kill(signal);
        assert.deepEqual(await exited, [0, null]);
        await link.close();
      });
    }

    test("its children inherit neither the configuration nor the link", async () => {
      const { child, link, registered, exited } = launch(way);
      await registered;
      const { envelopes } = await link.client(ResolverService).getSecrets({ pattern: "fixture/**" });
      const [environment, grandchild] = envelopes.map(({ value }) => Buffer.from(value).toString());
      assert.equal(environment, "[]");
      child.kill("SIGKILL");
      await exited;
      await link.mux.closed; // Would wait for the grandchild if that held the link.
      process.kill(Number(grandchild));
    });

    test("a refusal is said, with exit status 1", async () => {
      const { child, link, exited } = launch(way, OURS, "the name is taken");
      assert.ok(child.stderr);
      const said = text(child.stderr);
      assert.deepEqual(await exited, [1, null]);
      assert.match(await said, /the runtime did not register plugin "fixture": .*the name is taken/);
      await link.close();
    });
  });
}

test("a rejection that nobody awaits ends the call that it came from, and is logged once", async () => {
  const { child, link, exited } = launch("socket");
  assert.ok(child.stderr);
  const said = text(child.stderr);
  await assert.rejects(link.client(AuthorizerService).authorize({ patterns: ["float"] }), { code: Code.Internal });
  await served(link);
  const stream = await link.openStream("float");
  stream.write("now");
  await once(stream, "error");
  await served(link);
  await link.client(PluginService).shutdown({});
  assert.deepEqual(await exited, [0, null]);
  for (const what of [/AuthorizerService\/Authorize.*has failed.*nobody awaits it/g, /raw stream float.*has failed/g]) {
    assert.equal((await said).match(what)?.length, 1);
  }
});

test("a plugin ends with its runtime's process, although another one holds the link open", async () => {
  const runtime = spawn("sleep", ["600"]);
  const { link, exited } = launch("socket", OURS, undefined, { pid: runtime.pid });
  await served(link);
  runtime.kill();
  assert.deepEqual(await exited, [0, null]);
  await link.close();
});

test("output that nobody reads any more does not keep a plugin from its end", async () => {
  const { child, link, exited } = launch("socket");
  await served(link);
  await link.client(AuthorizerService).authorize({ patterns: ["print"] });
  child.stdout?.destroy();
  child.stderr?.destroy();
  for (let round = 0; round < 20; round++) await served(link);
  await link.client(PluginService).shutdown({});
  assert.deepEqual(await exited, [0, null]);
});

describe("log records that the runtime has not taken come out on stderr", () => {
  test("when a handler ends the process", async () => {
    const { child, link, exited } = launch("socket");
    assert.ok(child.stderr);
    const said = text(child.stderr);
    const client = link.client(AuthorizerService);
    const underway = client.authorize({ patterns: ["wait"] });
    await served(link);
    await assert.rejects(client.authorize({ patterns: ["exit"] }), { code: Code.Internal });
    await underway; // The end is in order.
    assert.deepEqual(await exited, [3, null]);
    assert.equal(await said, "last words \ncleaned up \n");
  });

  test("when they are made at the end of the link", async () => {
    const { child, link, exited } = launch("socket");
    assert.ok(child.stderr);
    const said = text(child.stderr);
    await link.client(AuthorizerService).authorize({});
    await link.client(PluginService).shutdown({});
    assert.deepEqual(await exited, [0, null]);
    assert.equal(await said, "cleaned up \n");
  });
});

for (const side of ["input", "output"] as const) {
  test(`closing the runtime's ${side} pipe alone ends a plugin`, async () => {
    const { ends, link, registered, exited } = launch("pipes");
    await registered;
    await link.mux.ping();
    ends[side].destroy();
    await exited;
    await link.mux.closed;
  });
}
