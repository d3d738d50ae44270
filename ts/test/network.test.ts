/** Links over networks: addresses, identities, wrong certificates, both directions of dialling, and joining. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from "node:net";
import type { Duplex } from "node:stream";
import { after, describe, test } from "node:test";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { PluginService, type RegisterPluginRequest, RegisterService } from "../../gen/ts/plugins/v1/plugins_pb.js";
import { JoinService } from "../../gen/ts/plugmux/v1/join_pb.js";
import { ResolverService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { Link, LinkApp } from "../src/link.js";
import { parseNetworkAddress, written } from "../src/network/address.js";
import { connect } from "../src/network/connect.js";
import { Credentials } from "../src/network/credentials.js";
import { alternativeNames, checkPattern, checkRuntime, identityOf, matches, nameOf } from "../src/network/identity.js";
import { listen, type Listener } from "../src/network/listen.js";
import { lookUp } from "../src/network/remoteLinks.js";
import { upgrade } from "../src/upgrade.js";
import { Authority, type Issued, type Wishes, write } from "./authority.js";
import { bundledFixture } from "./bundle.js";

const FIXTURE = bundledFixture();
const RUNTIME = "spiffe://test/runtime";
const PLUGIN = "spiffe://test/fixture";
const ca = new Authority();
const loopback = (port = 0) => ({ scheme: "tls", host: "127.0.0.1", port }) as const;

describe("vectors", () => {
  type Names = readonly (readonly [string, string])[];
  interface Vectors {
    readonly addresses: {
      readonly valid: readonly [string, string, string, number, string][];
      readonly insecure: readonly string[];
      readonly invalid: readonly (string | { prefix: string; repeat: string; count: number })[];
    };
    readonly identities: {
      readonly names: readonly [string, string][];
      readonly of_certificates: readonly [Names, string][];
      readonly none_of_certificates: readonly Names[];
      readonly patterns: readonly [string, string, boolean][];
      readonly invalid_patterns: readonly string[];
    };
  }
  const file = new URL("../../../../tests/vectors/remote.json", import.meta.url);
  const { addresses, identities } = JSON.parse(readFileSync(file, "utf8")) as Vectors;

  for (const [text, scheme, host, port, shown] of addresses.valid) {
    test(`${text} is an address`, () => {
      assert.deepEqual(parseNetworkAddress(text, {}), { scheme, host, port });
      assert.equal(written(parseNetworkAddress(text, {})), shown);
    });
  }
  for (const text of addresses.insecure) {
    test(`${text} would leave this machine without TLS`, () => {
      assert.throws(() => parseNetworkAddress(text, {}), /has no TLS and leaves this machine: write tls:\/\//);
      assert.equal(written(parseNetworkAddress(text, { PLUGMUX_INSECURE_TCP: "1" })), text);
    });
  }
  for (const text of addresses.invalid) {
    const spelled = typeof text === "string" ? text : text.prefix + text.repeat.repeat(text.count);
    test(`${spelled.slice(0, 40)} is no address`, () => {
      assert.throws(() => parseNetworkAddress(spelled, {}), { name: "ConfigError", message: /is not valid/ });
    });
  }
  test("identities", () => {
    for (const [identity, name] of identities.names) assert.equal(nameOf(identity), name);
    for (const [names, identity] of identities.of_certificates) assert.equal(identityOf(names), identity);
    for (const names of identities.none_of_certificates) {
      assert.throws(() => identityOf(names), { name: "UntrustedIdentity" }, JSON.stringify(names));
    }
    for (const [pattern, identity, isMatch] of identities.patterns) {
      assert.equal(matches(checkPattern(pattern), identity), isMatch, `${pattern} ${identity}`);
    }
    for (const pattern of identities.invalid_patterns)
      assert.throws(() => checkPattern(pattern), { name: "ConfigError" });
  });
  test("names of certificates are read as node writes them", () => {
    assert.deepEqual(alternativeNames('URI:spiffe://a/b, DNS:"x, URI:spiffe://c/d", DNS:y'), [
      ["URI", "spiffe://a/b"],
      ["DNS", "x, URI:spiffe://c/d"],
      ["DNS", "y"],
    ]);
    assert.deepEqual(alternativeNames(undefined), []);
  });
});

const inMemory = (issued: Issued, peers: readonly string[] = []): Credentials =>
  Credentials.inMemory({ ...issued }, peers, () => {});

/** What waits for a text among those that it is told. */
class Told extends EventEmitter {
  readonly #texts: string[] = [];

  readonly tell = (text: string): void => {
    this.#texts.push(text);
    this.emit("text");
  };

  async await(pattern: RegExp): Promise<void> {
    while (!this.#texts.some((text) => pattern.test(text))) await once(this, "text");
  }
}

const listeners: Listener[] = [];
after(() => Promise.all(listeners.map((listener) => listener.close())));

async function listener(credentials: Credentials): Promise<{ port: number; told: Told }> {
  const told = new Told();
  const tell = (peer: string, why: string): void => told.tell(`${peer}: ${why}`);
  const serve = (connection: Duplex): void => void connection.end();
  const listener = await listen({ address: loopback(), credentials, serve, hasRoom: () => true, tell });
  listeners.push(listener);
  return { port: listener.address.port, told };
}

async function enter(port: number, credentials: Credentials): Promise<Duplex> {
  const connection = await connect(loopback(port), credentials, "127.0.0.1");
  return upgrade({
    connect: () => connection,
    path: "/hijack",
    headers: { Host: "x", Connection: "upgrade", Upgrade: "tcp" },
    timeout: 20_000,
  });
}

describe("wrong certificates are refused by both ends", () => {
  const cases: readonly (readonly [string, Wishes, RegExp, RegExp?])[] = [
    ["expired", { begins: -2, ends: -1 }, /its certificate has expired \(it was valid until /],
    ["not yet valid", { begins: 1 }, /its certificate is not valid yet/],
    [
      "self-signed",
      { isSelfSigned: true },
      /its certificate is self-signed, and not one of the CAs of the given context/,
    ],
    ["no name", { names: [] }, /its certificate has neither a SPIFFE id nor a DNS name; expected/],
    [
      "a wildcard alone",
      { names: ["DNS:*.x"] },
      /its certificate names only \*\.x, and an identity is one name; expected/,
    ],
    [
      "two SPIFFE ids",
      { names: ["URI:spiffe://a/b", "URI:spiffe://a/c"] },
      /its certificate has 2 SPIFFE ids, and must have one/,
    ],
    [
      "another name",
      { names: ["URI:spiffe://a/b"] },
      /its certificate is spiffe:\/\/a\/b; expected an identity whose name is "runtime"/,
    ],
    [
      "for clients alone",
      { usages: ["clients"] },
      /its certificate may not be used by a server \(extended key usage\)/,
      /^$/,
    ],
    [
      "for servers alone",
      { usages: ["servers"] },
      /^$/,
      /its certificate may not be used by a client \(extended key usage\)/,
    ],
  ];
  const good = inMemory(ca.issue(RUNTIME));
  for (const [what, wishes, seen, seenByListener = seen] of cases) {
    const bad = inMemory(ca.issue(RUNTIME, wishes));
    if (String(seen) !== "/^$/") {
      test(`${what}, of who listens`, async () => {
        const { port } = await listener(bad);
        await assert.rejects(enter(port, good), { name: "UntrustedPeerError", message: seen });
      });
    }
    if (String(seenByListener) !== "/^$/") {
      test(`${what}, of who dials`, async () => {
        const { port, told } = await listener(good);
        await assert.rejects(enter(port, bad), seenByListener);
        await told.await(seenByListener);
      });
    }
  }

  test("of another CA", async () => {
    const foreign = inMemory({ ...new Authority().issue(RUNTIME), ca: ca.pem });
    const { port, told } = await listener(good);
    await assert.rejects(enter(port, foreign), /403 .*its certificate is signed by no CA of the given context/);
    await told.await(/its certificate is signed by no CA/);
    const other = await listener(foreign);
    await assert.rejects(enter(other.port, good), /its certificate is signed by no CA of the given context/);
    await enter(port, good);
  });

  test("none, TLS 1.2, and no TLS at all", async () => {
    const { port, told } = await listener(good);
    const plain = connectTcp(port, "127.0.0.1").end("GET / HTTP/1.1\r\n\r\n");
    plain.on("error", () => {}).resume();
    await told.await(/it does not speak TLS/);
    const old = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, maxVersion: "TLSv1.2" });
    old.on("error", () => {}).resume();
    await told.await(/it speaks no TLS 1\.3/);
    const bare = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
    const ask = upgrade({
      connect: () => bare,
      path: "/hijack",
      headers: { Host: "x", Connection: "upgrade", Upgrade: "tcp" },
      timeout: 20_000,
    });
    await assert.rejects(ask, /403 .*it showed no certificate, and mutual TLS needs one/);
    await enter(port, good);
  });
});

test("a runtime is who its certificate says", () => {
  const check = (names: readonly string[], patterns: readonly string[], host: string): void =>
    checkRuntime(new X509Certificate(ca.issue("x", { names }).cert), patterns, host);
  check([`URI:${RUNTIME}`], [], "");
  check(["DNS:h.example"], [], "h.example");
  check(["DNS:*.net.example"], [], "h.net.example");
  check([`URI:${RUNTIME}`], ["spiffe://test/*"], "");
  assert.throws(() => check(["DNS:h.example"], [], "g.example"), /its certificate is h\.example; expected/);
  assert.throws(() => check(["DNS:h.example"], ["spiffe://test/*"], "h.example"), /expected spiffe:\/\/test\/\*$/);
});

describe("files", () => {
  test("are loaded anew when they change, and what cannot be loaded changes nothing", async () => {
    const told = new Told();
    const directory = write(ca.issue(RUNTIME));
    const credentials = await Credentials.load({ directory }, told.tell, {});
    assert.ok(credentials);
    const renewed = ca.issue(RUNTIME);
    write(renewed, directory);
    await credentials.refresh();
    assert.equal(credentials.options.cert, renewed.cert);
    write({ ...renewed, key: ca.issue(RUNTIME).key }, directory);
    await credentials.refresh();
    assert.equal(credentials.options.key, renewed.key);
    await told.await(/the certificate was not renewed: .* are not a PEM certificate and its key/);
  });

  test("that are missing are said", async () => {
    const load = (options: object, env = {}): Promise<unknown> => Credentials.load(options, () => {}, env);
    assert.equal(await load({}), undefined);
    await assert.rejects(load({ directory: "/nowhere" }), {
      name: "ConfigError",
      message: /the certificate cannot be used/,
    });
    await assert.rejects(load({ cert: "/x" }), { name: "ConfigError", message: /TLS needs three PEM files/ });
  });
});

/** A runtime that listens with TLS. */
class Runtime extends EventEmitter {
  readonly links: Link[] = [];
  readonly registrations: RegisterPluginRequest[] = [];
  port = 0;

  static async start(runtimeId = "", routes: (router: ConnectRouter) => void = () => {}): Promise<Runtime> {
    const self = new Runtime();
    const app = new LinkApp({
      routes: (router) =>
        router.service(RegisterService, {
          registerPlugin(request) {
            self.registrations.push(request);
            setImmediate(() => self.emit("registered"));
            return { runtimeId };
          },
        }),
      streams: {},
    });
    const http = createServer(connectNodeAdapter({ routes }));
    http.on("upgrade", (_request: IncomingMessage, stream: Duplex) => {
      stream.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n");
      self.links.push(new Link({ role: "server", app, input: stream, output: stream }));
    });
    const server = createTlsServer(
      { ...ca.issue(RUNTIME), minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: false },
      (socket) => http.emit("connection", socket),
    );
    await once(server.listen(0, "127.0.0.1"), "listening");
    self.port = (server.address() as AddressInfo).port;
    after(() => server.close());
    return self;
  }

  async plugins(count: number): Promise<void> {
    while (this.registrations.length < count) await once(this, "registered");
  }

  link(at: number): Link {
    const link = this.links[at];
    assert.ok(link);
    return link;
  }
}

async function serves(link: Link): Promise<void> {
  await assert.rejects(link.client(ResolverService).getSecrets({ pattern: "none" }), { code: Code.NotFound });
}

function run(
  env: Readonly<Record<string, string>>,
  ...args: string[]
): { child: ChildProcess; said: Promise<string>; exited: Promise<unknown[]> } {
  const child = spawn(process.execPath, [FIXTURE, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  });
  after(() => child.kill("SIGKILL"));
  let text = "";
  const said = new Promise<string>((resolve) => {
    child.stderr?.on("data", (data: Buffer) => (text += data.toString())).on("end", () => resolve(text));
  });
  return { child, said, exited: once(child, "exit") };
}

describe("a plugin", () => {
  test("dials a runtime, comes back, and ends with Shutdown", async () => {
    const runtime = await Runtime.start();
    const env = { PLUGMUX_SOCKET: `tls://127.0.0.1:${runtime.port}`, PLUGMUX_TLS_DIR: write(ca.issue(PLUGIN)) };
    const { exited } = run(env);
    await runtime.plugins(1);
    await serves(runtime.link(0));
    runtime.link(0).mux.abort();
    await runtime.plugins(2);
    const [first, second] = runtime.registrations;
    assert.match(first?.processId ?? "", /^[0-9a-f]{32}$/);
    assert.equal(first?.processId, second?.processId);
    await serves(runtime.link(1));
    await runtime.link(1).client(PluginService).shutdown({});
    await runtime.link(1).close();
    assert.deepEqual(await exited, [0, null]);
  });

  test("waits for a runtime that does not listen yet", async () => {
    const early = createTcpServer((socket) => socket.destroy());
    await once(early.listen(0, "127.0.0.1"), "listening");
    const { port } = early.address() as AddressInfo;
    const { child } = run({ PLUGMUX_SOCKET: `tls://127.0.0.1:${port}`, PLUGMUX_TLS_DIR: write(ca.issue(PLUGIN)) });
    await once(early, "connection");
    await once(early, "connection"); // It has tried again.
    early.close();
    child.kill();
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });

  test("that reaches one runtime by two addresses keeps the newer link", async () => {
    const runtime = await Runtime.start("r");
    const addresses = [`tls://127.0.0.1:${runtime.port}`, `tls://localhost:${runtime.port}`];
    run({ PLUGMUX_SOCKET: addresses.join(), PLUGMUX_TLS_DIR: write(ca.issue(PLUGIN)) });
    await runtime.plugins(2);
    await Promise.all([serves(runtime.link(0)), serves(runtime.link(1))]);
    runtime.link(0).mux.abort(); // The runtime lets the older one go.
    await serves(runtime.link(1));
    assert.equal(runtime.links.length, 2);
    runtime.link(1).mux.abort();
    await runtime.plugins(3);
  });

  test("listens for runtimes", async () => {
    const taken = createTcpServer();
    await once(taken.listen(0, "127.0.0.1"), "listening");
    const { port } = taken.address() as AddressInfo;
    taken.close();
    await once(taken, "close");
    const { exited } = run({ PLUGMUX_TLS_DIR: write(ca.issue(PLUGIN)) }, "--listen", `tls://127.0.0.1:${port}`);
    const dial = async (issued: Issued): Promise<Duplex> => {
      for (;;) {
        try {
          return await enter(port, inMemory(issued, ["*"]));
        } catch (error) {
          if (!/ECONNREFUSED/.test(String(error))) throw error; // It does not listen yet.
        }
      }
    };
    await assert.rejects(
      dial(ca.issue("spiffe://test/other")),
      /403 .*its certificate is spiffe:\/\/test\/other; expected/,
    );
    const connection = await dial(ca.issue(RUNTIME));
    let name = "";
    const app = new LinkApp({
      routes: (router) => router.service(RegisterService, { registerPlugin: (request) => ((name = request.name), {}) }),
      streams: {},
    });
    const link = new Link({ role: "server", app, input: connection, output: connection });
    await serves(link);
    assert.equal(name, "fixture");
    await link.client(PluginService).shutdown({});
    await link.close();
    assert.deepEqual(await exited, [0, null]);
  });

  for (const [env, args, message] of [
    [{ PLUGMUX_SOCKET: "tls://h.example:1" }, [], /needs a certificate: set PLUGMUX_TLS_DIR/],
    [{ PLUGMUX_SOCKET: "tcp://h.example:1" }, [], /has no TLS and leaves this machine/],
    [{ PLUGMUX_SOCKET: "tls://h.example" }, [], /it needs a port/],
    [{ PLUGMUX_SOCKET: "unix:/x", PLUGMUX_LISTEN: "tls://127.0.0.1:0" }, [], /a plugin either listens or dials/],
    [{}, ["--listen", "tls+dns://h.example:1"], /needs a certificate/],
  ] as const) {
    test(`says at once what is wrong: ${String(message)}`, async () => {
      const { said, exited } = run(env, ...args);
      assert.deepEqual(await exited, [2, null]);
      assert.match(await said, message);
    });
  }
});

describe("a plugin that a runtime has started elsewhere", () => {
  const fingerprint = `sha256:${createHash("sha256").update(new X509Certificate(ca.pem).raw).digest("hex")}`;
  const launch = (port: number, pin = fingerprint): Record<string, string> => ({
    PLUGMUX_PLUGIN_LAUNCH_CFG: JSON.stringify({
      name: "given",
      timeout: 60e9,
      address: `tls://127.0.0.1:${port}`,
      token: "once-only",
      ca: pin,
    }),
  });

  test("gets a certificate for its token, once", async () => {
    let isUsed = false;
    const runtime = await Runtime.start("", (router) =>
      router.service(JoinService, {
        getAuthority: () => ({ caPem: ca.pem }),
        join({ token, csr }) {
          if (isUsed || token !== "once-only") {
            throw new ConnectError("this join token has been used: start the plugin anew", Code.PermissionDenied);
          }
          isUsed = true;
          return { certificatePem: ca.answer(csr, PLUGIN) };
        },
      }),
    );
    const first = run(launch(runtime.port));
    await runtime.plugins(1);
    assert.equal(runtime.registrations[0]?.name, "given");
    first.child.kill();
    assert.deepEqual(await first.exited, [0, null]);
    const second = run(launch(runtime.port));
    assert.deepEqual(await second.exited, [1, null]);
    const said = await second.said;
    assert.match(said, /this join token has been used/);
    assert.doesNotMatch(said, /once-only/);
    const other = run(launch(runtime.port, `sha256:${"0".repeat(64)}`));
    assert.deepEqual(await other.exited, [1, null]);
    assert.match(await other.said, /is not the one that launched this plugin: its CA is sha256:/);
  });

  test("trusts no CA that is told behind the one of the fingerprint", async () => {
    const genuine = new Authority("genuine CA");
    const pin = `sha256:${createHash("sha256").update(new X509Certificate(genuine.pem).raw).digest("hex")}`;
    const tokens: string[] = [];
    const impostor = await Runtime.start("", (router) =>
      router.service(JoinService, {
        getAuthority: () => ({ caPem: genuine.pem + ca.pem }),
        join({ token, csr }) {
          tokens.push(token);
          return { certificatePem: ca.answer(csr, PLUGIN) };
        },
      }),
    );
    const { child, said, exited } = run(launch(impostor.port, pin));
    await Promise.race([exited, impostor.plugins(1)]);
    child.kill();
    assert.deepEqual(tokens, []);
    assert.deepEqual(await exited, [1, null]);
    assert.match(await said, /gave this plugin no certificate/);
  });
});

test("a target that is gone hides no other of a name", async () => {
  const hosts: Record<string, string> = { a: "10.0.0.1", b: "10.0.0.2" };
  const names = {
    resolveSrv: () => Promise.resolve(["gone", ...Object.keys(hosts)].map((name) => ({ name, port: 7443 }))),
    lookup: (name: string) =>
      name in hosts
        ? Promise.resolve([{ address: String(hosts[name]) }])
        : Promise.reject(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: "ENOTFOUND" })),
  };
  const address = parseNetworkAddress("tls+srv://_plugmux._tcp.kv.example", {});
  const found = (await lookUp(address, names)).map(({ address: { host } }) => host);
  assert.deepEqual(found.sort(), ["10.0.0.1", "10.0.0.2"]);
  for (const name of Object.keys(hosts)) delete hosts[name];
  await assert.rejects(lookUp(address, names), /ENOTFOUND/);
});
