import { accessSync, constants } from "node:fs";
import { parseAddress } from "./dial.js";
import { ConfigError, PlugmuxError } from "./errors.js";
import { type LaunchConfig, LISTEN_VARIABLE, SOCKET_VARIABLE, takeLaunchConfig } from "./launch.js";
import { isNetwork, isSecure, parseNetworkAddress } from "./network/address.js";
import { noCertificate } from "./network/connect.js";
import { Credentials } from "./network/credentials.js";
import { join } from "./network/join.js";
import { RemoteLinks } from "./network/remoteLinks.js";
import { Plugin, type PluginOptions } from "./plugin.js";

const FAILED = 1;
const WRONG_USAGE = 2;

/**
 * Runs a plugin as this process' only business: serves until the runtime or a signal ends it, and then ends the process.
 *
 * The exit status is 0 after an orderly end, or what a handler has given to `process.exit`; 1 when the runtime could not be
 * reached or refused the plugin, and 2 when there is no runtime: a plugin that is started by hand says on stderr what it is.
 */
export async function plugin(options: PluginOptions): Promise<never> {
  const self = new Plugin(options);
  process.once("exit", () => self.printLog());
  // A host that has died reads no output; that must not end the clean-up.
  for (const output of [process.stdout, process.stderr]) output.on("error", ignoreBrokenPipe);
  let status: number | string | null | undefined = 0;
  const ending = new AbortController();
  ending.signal.addEventListener("abort", () => self.stop());
  self.trackProcess((wanted) => {
    status = wanted ?? process.exitCode ?? 0;
    ending.abort();
  });
  try {
    const config = takeLaunchConfig(process.env);
    const { socket, listen } = config ? { socket: "", listen: "" } : findAddresses(options);
    if (!config && !socket && !listen) return explain(self);
    process.once("SIGTERM", () => ending.abort());
    // Ctrl-C at a terminal that both share reaches the runtime as well: it ends its plugins when it has done with them.
    if (config?.terminal) process.on("SIGINT", () => {});
    else process.once("SIGINT", () => ending.abort());
    const make = (): Plugin => new Plugin(options, self);
    if (config && "token" in config.link) await serveInvited(make, config, ending.signal);
    else if (config) await self.serveLaunched(config);
    else if (listen) await serveNetwork(make, options, [listen], "listen", ending.signal);
    else if (isNetwork(socket)) await serveNetwork(make, options, socket.split(","), "dial", ending.signal);
    else await serveSocket(self, socket);
    return process.exit(status);
  } catch (error) {
    if (!(error instanceof PlugmuxError)) throw error;
    process.stderr.write(`${self.registration.name}: ${error.message}\n`);
    return process.exit(error instanceof ConfigError ? WRONG_USAGE : FAILED);
  }
}

function ignoreBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}

/** Where the plugin dials or listens, by its arguments, its options and its environment. */
function findAddresses(options: PluginOptions): { socket: string; listen: string } {
  const [option, argument = "", ...more] = process.argv.slice(2);
  if (option === "--listen" && argument && more.length === 0) return { socket: "", listen: argument };
  let { socket = "", listen = "" } = options;
  if (!socket && !listen) {
    socket = process.env[SOCKET_VARIABLE] ?? "";
    listen = process.env[LISTEN_VARIABLE] ?? "";
  }
  if (socket && listen) {
    throw new ConfigError(`a plugin either listens or dials: set one of ${LISTEN_VARIABLE} and ${SOCKET_VARIABLE}`);
  }
  return { socket, listen };
}

async function serveSocket(self: Plugin, address: string): Promise<void> {
  parseAddress(address);
  return self.serveDialling(address);
}

/** Serves the runtimes at addresses in the network, or those that connect to one. */
async function serveNetwork(
  make: () => Plugin,
  options: PluginOptions,
  texts: readonly string[],
  way: "dial" | "listen",
  ending: AbortSignal,
): Promise<void> {
  const addresses = texts.map((text) => parseNetworkAddress(text.trim()));
  const credentials = await Credentials.load(options.tls ?? {}, warn);
  const bare = credentials ? undefined : addresses.find(isSecure);
  if (bare) throw noCertificate(bare);
  const unwatch = credentials?.watch();
  const links = new RemoteLinks(make, credentials, (message, error) => warn(message, { error }));
  ending.addEventListener("abort", () => links.stop());
  try {
    await Promise.all(addresses.map((address) => links[way](address)));
  } finally {
    unwatch?.();
  }
}

/** Serves the runtime that has started the plugin on another machine, over links of the certificate that it has by then. */
async function serveInvited(make: () => Plugin, config: LaunchConfig, ending: AbortSignal): Promise<void> {
  if (!("token" in config.link)) return;
  const { credentials, end } = await join(config.link, config.timeout, warn);
  const links = new RemoteLinks(make, credentials, (message, error) => warn(message, { error }), config.name);
  ending.addEventListener("abort", () => links.stop());
  try {
    await links.dialLauncher(config.link.address);
  } finally {
    end();
  }
}

function warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
  process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
}

function explain({ registration: { name, version, services, metadata, instances } }: Plugin): never {
  const kind = metadata.case === "secretsProvider" ? [`secrets ${metadata.value.pattern}`] : [];
  const each = instances?.services.map((service) => `${service} (instances)`) ?? [];
  const program = process.argv[1] ?? name;
  const command = canRun(program) ? program : `node ${program}`;
  process.stderr.write(`\
${name} ${version} is a plugmux plugin: a runtime starts it, or it connects to one that runs.
It serves: ${[...kind, ...services, ...each].join(", ") || "no services"}.

  plugmux plugins --plugin ${program}     launch it and show it
  ${SOCKET_VARIABLE}=unix:/path ${command}    connect it to the runtime that listens there
  ${command} --listen tls://0.0.0.0:7444  let runtimes on other machines connect
`);
  return process.exit(WRONG_USAGE);
}

/** Whether a file runs without an interpreter before it. */
function canRun(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
