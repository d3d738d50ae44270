/**
 * A runtime in small, for the matrix of hosts and plugins: it launches one plugin, uses all that an example plugin
 * serves, shuts it down, and prints what happened as one JSON object.
 *
 *     node host.js [--pipes] COMMAND [ARGUMENT...]
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { basename } from "node:path";
import type { Duplex, Readable, Writable } from "node:stream";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { PluginService, RegisterService, type RegisterPluginRequest } from "plugmux/gen/plugins/v1/plugins_pb.js";
import { ResolverService } from "plugmux/gen/resolver/v1/resolver_pb.js";
import { Link, LinkApp } from "plugmux/link";
import { AuditService, KeyValueService } from "../../../../examples/gen/ts/kv/v1/kv_pb.js";

const REGISTRATION_TIMEOUT = 60_000;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

interface Launched {
  readonly child: ChildProcess;
  readonly name: string;
  readonly input: Readable;
  readonly output: Writable;
}

function launch(command: string, args: string[], pipes: boolean): Launched {
  const name = basename(command).replace(/\.exe$/, "");
  const ends = pipes ? { r: 3, w: 4 } : { fd: 3 };
  const config = JSON.stringify({ name, timeout: REGISTRATION_TIMEOUT * 1e6, ...ends });
  const child = spawn(command, args, {
    stdio: ["ignore", "inherit", "inherit", "pipe", ...(pipes ? (["pipe"] as const) : [])],
    env: { ...process.env, DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG: config },
  });
  const near = child.stdio[3] as Duplex;
  return { child, name, output: near, input: pipes ? (child.stdio[4] as unknown as Duplex) : near };
}

async function main(argv: string[]): Promise<void> {
  const pipes = argv[0] === "--pipes";
  const [command, ...args] = pipes ? argv.slice(1) : argv;
  if (!command) throw new Error("usage: host.js [--pipes] COMMAND [ARGUMENT...]");
  const { child, name, input, output } = launch(command, args, pipes);
  const exited = once(child, "exit");
  const events: string[] = [];
  let registered!: (request: RegisterPluginRequest) => void;
  const registration = new Promise<RegisterPluginRequest>((resolve) => {
    registered = resolve;
  });
  const app = new LinkApp({
    routes(router) {
      router.service(RegisterService, {
        registerPlugin(request) {
          registered(request);
          return { engineName: "interop", engineVersion: "v1.0.0" };
        },
      });
      router.service(AuditService, {
        record({ plugin, event }) {
          events.push(`${plugin}: ${event}`);
          return {};
        },
      });
    },
  });
  const link = new Link({ role: "server", app, input, output });
  const said = await orEnd(registration, exited);
  const results = {
    name: said.name,
    launchedAs: name,
    version: said.version,
    services: said.services,
    ...(await useSecrets(link, said)),
    ...(await useKeyValue(link)),
    health: await health(link),
    roundTripMeasured: (await link.mux.ping()) > 0,
    openStreams: await idle(link),
    audited: events,
  };
  await link.client(PluginService).shutdown({});
  await link.close();
  const [exitCode, signal] = (await exited) as [number | null, string | null];
  process.stdout.write(`${JSON.stringify({ ...results, exitCode, signal })}\n`);
}

async function orEnd<T>(wanted: Promise<T>, exited: Promise<unknown[]>): Promise<T> {
  const ended = exited.then(([code]): never => {
    throw new Error(`the plugin ended with ${String(code)} and did not register`);
  });
  return Promise.race([wanted, ended]);
}

async function useSecrets(link: Link, said: RegisterPluginRequest): Promise<object> {
  if (said.metadata.case !== "secretsProvider") return {};
  const resolver = link.client(ResolverService);
  const { pattern } = said.metadata.value;
  const { envelopes } = await resolver.getSecrets({ pattern });
  const missing = await code(resolver.getSecrets({ pattern: "nothing/of/the/sort" }));
  return { pattern, secrets: envelopes.map(({ id, value }) => ({ id, value: text(value) })), missingSecret: missing };
}

async function useKeyValue(link: Link): Promise<object> {
  const kv = link.client(KeyValueService);
  const missingKey = await code(kv.get({ key: "never put" }));
  await kv.put({ key: "a", value: Buffer.from("1") });
  const got = text((await kv.get({ key: "a" })).value);
  const large = Buffer.alloc(1_000_000, "x");
  await kv.put({ key: "large", value: large });
  const largeIsSame = large.equals((await kv.get({ key: "large" })).value);
  const many = await Promise.all(Array.from({ length: 100 }, () => kv.get({ key: "a" })));
  return { missingKey, got, largeIsSame, concurrent: many.length, watched: await watch(kv) };
}

/** Watches a key through two changes, and cancels. */
async function watch(kv: Client<typeof KeyValueService>): Promise<string[]> {
  const seen: string[] = [];
  const cancel = new AbortController();
  for await (const { value } of kv.watch({ key: "a" }, { signal: cancel.signal })) {
    seen.push(text(value));
    if (seen.length === 3) break;
    await kv.put({ key: "a", value: Buffer.from(String(seen.length + 1)) });
  }
  cancel.abort();
  return seen;
}

async function code(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    return Code[ConnectError.from(error).code];
  }
}

async function health(link: Link): Promise<string> {
  const asked = request({ path: "/health", headers: { Host: "unix" }, createConnection: () => link.mux.open() });
  asked.end();
  const [response] = (await once(asked, "response")) as [Readable & { statusCode: number }];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  return `${response.statusCode} ${body}`;
}

async function idle(link: Link): Promise<number> {
  await link.mux.idle();
  return link.mux.streamCount;
}

await main(process.argv.slice(2));
