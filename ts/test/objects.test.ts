/** Objects that the two ends of a link lend each other, and the instances of a plugin. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { describe, test } from "node:test";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { PluginService } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { DiagnosticsService } from "../../gen/ts/plugmux/v1/diagnostics_pb.js";
import { HealthService } from "../../gen/ts/plugmux/v1/health_pb.js";
import { InstanceService } from "../../gen/ts/plugmux/v1/instance_pb.js";
import { AuthorizerService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { Instances, type InstancesOptions, type Lent, Plugin, SessionClosedError } from "../src/index.js";
import { Link, LinkApp, type LinkAppOptions } from "../src/link.js";
import { connectionPair } from "../src/memoryConnection.js";
import { keepAlive, start } from "./runtime.js";

const UNKNOWN = /the reference is not known on this link: it has been released, or is of another link/;
const NOWHERE = "0".repeat(32);

keepAlive();

/** An object that decides everything in one way, and counts its clean-ups. */
class Judge implements Lent {
  released = 0;
  constructor(readonly decision = 1) {}
  routes: Lent["routes"] = (router) => router.service(AuthorizerService, { authorize: () => this });
  onRelease(): void {
    this.released++;
  }
}

/** Two ends of a link. */
function pair(near: Partial<LinkAppOptions> = {}, far: Partial<LinkAppOptions> = {}): [Link, Link] {
  const [one, other] = connectionPair();
  const link = (role: "server" | "client", options: Partial<LinkAppOptions>, end: typeof one): Link =>
    new Link({ role, app: new LinkApp({ routes: () => {}, ...options }), input: end, output: end });
  return [link("server", near, one), link("client", far, other)];
}

async function decide(remote: ReturnType<Link["at"]>): Promise<number> {
  return (await remote.client(AuthorizerService).authorize({})).decision;
}

async function post(link: Link, path: string, type: string, body: string): Promise<string> {
  const stream = link.mux.open();
  const head = `Host: unix\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}`;
  stream.write(`POST ${path} HTTP/1.1\r\n${head}\r\n\r\n${body}`);
  const answer = await text(stream);
  stream.destroy(); // Its other end may still be open, and would be lost with the link.
  return answer;
}

describe("an object that is lent", () => {
  test("is called by its reference, at either end, and is nowhere else", async () => {
    const [near, far] = pair();
    for (const [lender, holder] of [
      [near, far],
      [far, near],
    ] as const) {
      const reference = lender.lend(new Judge(7));
      assert.match(reference, /^[0-9a-f]{32}$/);
      assert.equal(await decide(holder.at(reference)), 7);
      await assert.rejects(holder.client(AuthorizerService).authorize({}), { code: Code.Unimplemented });
      await assert.rejects(decide(lender.at(reference)), { code: Code.NotFound });
      await assert.rejects(holder.at(reference).client(HealthService).check({}), { code: Code.Unimplemented });
    }
    await near.close();
  });

  test("has raw streams of its own", async () => {
    const [near, far] = pair();
    const reference = near.lend({ routes: () => {}, streams: { echo: (stream) => pipeline(stream, stream) } });
    const stream = await far.at(reference).openStream("echo");
    stream.end("to and fro");
    assert.equal(await text(stream), "to and fro");
    await assert.rejects(far.openStream("echo"), /404.*no raw stream/);
    await assert.rejects(far.at(reference).openStream("none"), /404.*no raw stream/);
    await near.close();
  });

  test("is served as everything else of its end: interceptors and limits hold for it", async () => {
    const seen: string[] = [];
    const [near, far] = pair({
      interceptors: [
        (next) => (request) => {
          seen.push(request.service.typeName);
          return next(request);
        },
      ],
      maxMessageBytes: 100,
    });
    const judge = far.at(near.lend(new Judge())).client(AuthorizerService);
    await judge.authorize({});
    await assert.rejects(judge.authorize({ patterns: ["x".repeat(200)] }), { code: Code.ResourceExhausted });
    assert.deepEqual(seen, [AuthorizerService.typeName]);
    await near.close();
  });

  test("ends when its holder releases it, who is answered when it has been cleaned up", async () => {
    const [near, far] = pair();
    const order: string[] = [];
    const reference = near.lend({
      routes: () => {},
      async onRelease() {
        order.push(`begun with ${near.lent}`);
        await near.mux.ping();
        order.push("cleaned up");
      },
    });
    const remote = far.at(reference);
    await remote.release();
    order.push("released");
    await remote.release();
    await near.withdraw(reference);
    assert.deepEqual(order, ["begun with 0", "cleaned up", "released"]);
    await assert.rejects(decide(remote), { code: Code.NotFound });
    await near.close();
  });

  test("ends when its lender withdraws it; a call in flight goes on to its end", async () => {
    const [near, far] = pair();
    let answer = (): void => {};
    let begun = (): void => {};
    const calling = new Promise<void>((resolve) => (begun = resolve));
    const reference = near.lend({
      routes: (router) =>
        router.service(AuthorizerService, {
          async authorize() {
            begun();
            await new Promise<void>((resolve) => (answer = resolve));
            return { decision: 1 };
          },
        }),
    });
    const call = decide(far.at(reference));
    await calling;
    await near.withdraw(reference);
    await assert.rejects(decide(far.at(reference)), { code: Code.NotFound });
    answer();
    assert.equal(await call, 1);
    assert.equal(near.lent, 0);
    await near.close();
  });

  for (const how of ["closed", "lost"] as const) {
    test(`ends once when the link is ${how}`, async () => {
      const [near, far] = pair();
      const [kept, given] = [new Judge(), new Judge()];
      near.lend(kept);
      const remote = far.at(near.lend(given));
      await remote.release();
      if (how === "lost") near.mux.abort();
      await near.close();
      assert.deepEqual([kept.released, given.released, near.lent], [1, 1, 0]);
      await far.mux.closed;
      await remote.release();
      assert.throws(() => near.lend(new Judge()), SessionClosedError);
    });
  }

  test("whose clean-up fails tells who releases it, and keeps no other from its own", async () => {
    const [one, other] = connectionPair();
    const failures: unknown[] = [];
    const app = new LinkApp({ routes: () => {} });
    const onError = (error: unknown): void => void failures.push(error);
    const near = new Link({ role: "server", app, input: one, output: one, onError });
    const far = new Link({ role: "client", app, input: other, output: other });
    const failure = new Error("the disk is full");
    const bad: Lent = { routes: () => {}, onRelease: () => Promise.reject(failure) };
    const judge = new Judge();
    await assert.rejects(far.at(near.lend(bad)).release(), (error: unknown) => {
      assert.equal(ConnectError.from(error).code, Code.Internal);
      assert.match(String(error), /the disk is full/);
      return true;
    });
    await assert.rejects(near.withdraw(near.lend(bad)), failure);
    assert.deepEqual(failures, []);
    near.lend(bad);
    near.lend(judge);
    await near.close();
    assert.deepEqual([failures, judge.released], [[failure], 1]);
  });
});

describe("a reference that is not known", () => {
  test("is the error not found, for every kind of call", async () => {
    const [near, far] = pair();
    const remote = far.at(NOWHERE);
    await assert.rejects(decide(remote), (error: ConnectError) => {
      assert.deepEqual([error.code, UNKNOWN.test(error.message)], [Code.NotFound, true]);
      assert.doesNotMatch(error.message, /0000/);
      return true;
    });
    await assert.rejects(
      async () => {
        for await (const _ of remote.client(HealthService).watch({}));
      },
      { code: Code.NotFound, message: UNKNOWN },
    );
    await assert.rejects(remote.openStream("echo"), /404.*not known on this link/);
    await remote.release();
    await near.close();
  });

  test("has the form on the wire that Connect has for errors", async () => {
    const [near, far] = pair();
    const path = `/reference/${NOWHERE}/some.Service/Method`;
    const unary = await post(far, path, "application/json", "{}");
    assert.match(unary, /^HTTP\/1.1 404 .*content-type: application\/json\r\n/is);
    assert.match(unary, /\r\n\r\n\{"code":"not_found","message":"the reference [^"]*"\}$/);
    const stream = await post(far, path, "application/connect+proto", "");
    assert.match(stream, /^HTTP\/1.1 200 .*content-type: application\/connect\+proto\r\n/is);
    assert.match(stream, /\r\n\r\n\x02\0\0\0.\{"error":\{"code":"not_found","message":"the reference [^"]*"\}\}$/s);
    await near.close();
  });

  test("leads nowhere else, whatever it is made of", async () => {
    const [near, far] = pair({ routes: (router) => new Judge().routes(router) });
    const reference = near.lend(new Judge());
    for (const odd of ["", ".", "..", "%2e%2e", `${reference}/..`, `${reference}?`, ` ${reference}`]) {
      await assert.rejects(decide(far.at(odd)), { code: Code.NotFound, message: UNKNOWN });
      await far.at(odd).release();
    }
    assert.equal(near.lent, 1);
    await near.close();
  });
});

describe("the host of a plugin", () => {
  test("lends and calls objects; none of that is announced", async () => {
    let given = "";
    const { link, plugin, registrations, over } = start({
      services: (router, host) =>
        router.service(AuthorizerService, {
          async authorize({ patterns: [reference = ""] }) {
            given = host.lend(new Judge(5));
            return { decision: (await host.at(reference).client(AuthorizerService).authorize({})).decision };
          },
        }),
    });
    const judge = new Judge(9);
    const reference = link.lend(judge);
    const { decision } = await link.client(AuthorizerService).authorize({ patterns: [reference] });
    assert.equal(decision, 9);
    assert.equal(await decide(link.at(given)), 5);
    await plugin.host.at(reference).release();
    assert.equal(judge.released, 1);
    await plugin.host.withdraw(given);
    await assert.rejects(decide(link.at(given)), { code: Code.NotFound });
    assert.deepEqual(registrations[0]?.services, [AuthorizerService.typeName]);
    assert.equal(registrations[0]?.instances, undefined);
    await link.close();
    await over;
  });

  test("lends nothing before there is a link, and holds calls back until it is registered", async () => {
    const { host } = new Plugin({ version: "v1.0.0" });
    assert.throws(() => host.lend(new Judge()), SessionClosedError);
    await host.withdraw(NOWHERE);
    const order: string[] = [];
    let early: Promise<unknown> | undefined;
    const { link, over } = start(
      {},
      {
        async onRegister() {
          early = assert.rejects(decide(link.at(NOWHERE)), { code: Code.NotFound }).then(() => order.push("called"));
          await link.mux.ping();
          order.push("registered");
        },
      },
    );
    while (!early) await link.mux.ping();
    await early;
    assert.deepEqual(order, ["registered", "called"]);
    await link.close();
    await over;
  });

  test("stays the same from link to link, and what was lent on one is not known on the next", async () => {
    const judge = new Judge();
    const first = start({});
    await first.link.client(DiagnosticsService).dump({});
    const { host } = first.plugin;
    const reference = host.lend(judge);
    const held = first.link.lend(new Judge());
    await first.link.close();
    await first.over;
    assert.equal(judge.released, 1);
    const second = start({}, {}, first.plugin);
    await second.link.client(DiagnosticsService).dump({});
    await assert.rejects(decide(second.link.at(reference)), { code: Code.NotFound });
    await assert.rejects(decide(host.at(held)), { code: Code.NotFound });
    assert.equal(await decide(second.link.at(host.lend(judge))), 1);
    await second.link.close();
    await second.over;
    assert.equal(judge.released, 2);
  });

  test("is told in the log of a clean-up that fails at the end of the link", async (context) => {
    const { link, plugin, over } = start({});
    await link.client(DiagnosticsService).dump({});
    plugin.host.lend({ routes: () => {}, onRelease: () => Promise.reject(new Error("the disk is full")) });
    await link.client(PluginService).shutdown({});
    await over;
    const written: string[] = [];
    context.mock.method(process.stderr, "write", (line: string) => written.push(line) > 0);
    plugin.printLog();
    context.mock.restoreAll();
    assert.match(written.join(""), /clean-up of a lent object has failed.*the disk is full/);
  });
});

describe("instances", () => {
  interface Settings {
    readonly decision: number;
  }

  function judges(options: Partial<InstancesOptions<Settings>> = {}, made: Judge[] = []): Instances<Settings> {
    return new Instances({
      services: [AuthorizerService],
      schema: { type: "object", required: ["decision"] },
      parse(value) {
        const { decision } = value as Settings;
        if (typeof decision !== "number") throw new TypeError("decision must be a number");
        return { decision };
      },
      open({ decision }) {
        const judge = new Judge(decision);
        made.push(judge);
        return judge;
      },
      ...options,
    });
  }

  /** Both ends of a link, with instances at the far one. */
  function serving(instances: Instances, interceptors: readonly Interceptor[] = []): [Link, Link] {
    const { host } = new Plugin({ version: "v1.0.0" });
    return pair({}, { routes: (router) => instances.serve(router, host), interceptors });
  }

  async function open(link: Link, configuration: object = { decision: 1 }): Promise<ReturnType<Link["at"]>> {
    const configurationJson = JSON.stringify(configuration);
    const { reference } = await link.client(InstanceService).open({ configurationJson });
    return link.at(reference);
  }

  test("are announced with their services and schema, which are not the plugin's own", async () => {
    const { link, registrations, over } = start({ instances: judges() });
    assert.equal(await decide(await open(link, { decision: 4 })), 4);
    await link.close();
    await over;
    const [said] = registrations;
    assert.deepEqual(said?.services, []);
    assert.deepEqual(said?.instances?.services, [AuthorizerService.typeName]);
    assert.deepEqual(JSON.parse(said?.instances?.configuration?.jsonSchema ?? ""), {
      type: "object",
      required: ["decision"],
    });
  });

  test("have a configuration and an end of their own", async () => {
    const made: Judge[] = [];
    const [near] = serving(judges({}, made));
    const [one, two] = [await open(near, { decision: 1 }), await open(near, { decision: 2 })];
    assert.deepEqual([await decide(one), await decide(two)], [1, 2]);
    await one.release();
    await assert.rejects(decide(one), { code: Code.NotFound });
    assert.equal(await decide(two), 2);
    await near.close();
    await assert.rejects(open(near));
    assert.deepEqual(
      made.map(({ released }) => released),
      [1, 1],
    );
  });

  test("are not opened with a configuration that cannot be used, of which the caller is told", async () => {
    const full = new ConnectError("all regions are taken", Code.FailedPrecondition);
    const [near] = serving(
      judges({ limit: 1, open: ({ decision }) => (decision ? new Judge() : Promise.reject(full)) }),
    );
    await assert.rejects(open(near, {}), { code: Code.InvalidArgument, message: /decision must be a number/ });
    await assert.rejects(open(near, { decision: 0 }), { code: Code.FailedPrecondition, message: /regions are taken/ });
    await assert.rejects(near.client(InstanceService).open({ configurationJson: "hush" }), (error: ConnectError) => {
      assert.deepEqual([error.code, error.rawMessage], [Code.InvalidArgument, "the configuration is not JSON"]);
      return true;
    });
    await open(near);
    await near.close();
  });

  test("are no more at a time than the limit", async () => {
    const [near] = serving(judges({ limit: 2 }));
    const [first] = [await open(near), await open(near)];
    await assert.rejects(open(near), { code: Code.ResourceExhausted, message: /2 instances are open.*"limit"/ });
    await first.release();
    await open(near);
    await near.close();
  });

  test("end at once when who has asked for them leaves before they are there", async () => {
    const abort = new AbortController();
    let left = (): void => {};
    const released = new Promise<void>((resolve) => (left = resolve));
    let seen: AbortSignal | undefined;
    const instances = judges({
      async open() {
        abort.abort();
        if (seen && !seen.aborted) await once(seen, "abort");
        return { ...new Judge(), onRelease: () => left() };
      },
    });
    const watch: Interceptor = (next) => (request) => {
      seen = request.signal;
      return next(request);
    };
    const [near, far] = serving(instances, [watch]);
    const request = { configurationJson: '{"decision":1}' };
    const call = near.client(InstanceService).open(request, { signal: abort.signal });
    await assert.rejects(call, { code: Code.Canceled });
    await released;
    assert.equal(far.lent, 0);
    await near.close();
  });

  test("leave nothing behind, a thousand of them", async () => {
    const made: Judge[] = [];
    const [near, far] = serving(judges({ limit: 100 }, made));
    for (let round = 0; round < 10; round++) {
      const remotes = await Promise.all(Array.from({ length: 100 }, (_, decision) => open(near, { decision })));
      assert.equal(far.lent, 100);
      assert.deepEqual(await Promise.all(remotes.map(decide)), [...remotes.keys()]);
      await Promise.all(remotes.map((remote) => remote.release()));
      assert.equal(far.lent, 0);
    }
    assert.equal(made.filter(({ released }) => released === 1).length, 1000);
    await near.close();
  });
});
