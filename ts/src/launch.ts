import { ConfigError } from "./errors.js";
import { MAX_LAUNCH_CONFIG, MAX_TIMER } from "./limits.js";
import { parseNetworkAddress } from "./network/address.js";
import type { Invitation } from "./network/join.js";

/** The variable that our SDKs read first, and the one that plugins of Docker's secrets engine read. */
const VARIABLES = ["PLUGMUX_PLUGIN_LAUNCH_CFG", "DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG"] as const;

/** The variable that names the address of the runtime, for plugins that start by themselves. */
export const SOCKET_VARIABLE = "PLUGMUX_SOCKET";

/** The variable that names the address at which a plugin lets runtimes connect. */
export const LISTEN_VARIABLE = "PLUGMUX_LISTEN";

const NANOSECONDS_PER_MILLISECOND = 1_000_000;

/** What a runtime tells a plugin that it launches. */
export interface LaunchConfig {
  /** The name that the plugin must register under. */
  readonly name: string;
  /** Whole milliseconds that the plugin has for its registration; 24 days at most, which timers can wait. */
  readonly timeout: number;
  /** Where the link is. */
  readonly link: InheritedLink | SocketLink | Invitation;
  /** Whether the plugin shares its runtime's terminal, whose Ctrl-C then reaches both of them. */
  readonly terminal: boolean;
  /** Whether the plugin is to connect to the socket again and again, as runtimes come and go. */
  readonly detached: boolean;
  /** Process id of the runtime; 0 where it says nothing to the plugin. */
  readonly runtimePid: number;
}

/** The descriptors to read the link from and to write it to; the same one where a socket serves both. */
export interface InheritedLink {
  readonly readFd: number;
  readonly writeFd: number;
}

/**
 * The path of a unix socket or a named pipe; a connection to it is the link. It stands where nothing can be inherited: in a
 * container, and on Windows, where Node.js takes no inherited handles.
 */
export interface SocketLink {
  readonly socket: string;
}

/**
 * Takes the launch configuration out of the environment, so that no child of the plugin takes itself for the plugin.
 *
 * @returns undefined when the process was not launched by a runtime.
 * @throws ConfigError when there is a configuration and it is not well formed.
 */
export function takeLaunchConfig(env: NodeJS.ProcessEnv): LaunchConfig | undefined {
  const text = VARIABLES.map((variable) => env[variable]).find((value) => value);
  for (const variable of VARIABLES) delete env[variable];
  return text ? parseLaunchConfig(text) : undefined;
}

export function parseLaunchConfig(text: string): LaunchConfig {
  if (Buffer.byteLength(text) > MAX_LAUNCH_CONFIG) throw new ConfigError("the launch configuration is too long");
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch {
    throw new ConfigError("the launch configuration is not JSON");
  }
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw new ConfigError("the launch configuration is not a JSON object");
  }
  const { name, timeout, fd, r, w, socket, address, token, ca, terminal, detached, pid } = values as Readonly<
    Record<string, unknown>
  >;
  if (typeof name !== "string" || name === "") throw new ConfigError("the launch configuration has no plugin name");
  if (!isWhole(timeout) || timeout <= 0) {
    throw new ConfigError('the launch configuration needs "timeout", in nanoseconds and above 0');
  }
  return {
    name,
    timeout: Math.min(Math.ceil(timeout / NANOSECONDS_PER_MILLISECOND), MAX_TIMER),
    terminal: terminal === true,
    detached: detached === true,
    runtimePid: isWhole(pid) && pid > 0 ? pid : 0,
    link: isText(address)
      ? invitation(address, token, ca)
      : isText(socket)
        ? { socket }
        : { readFd: descriptor(fd ?? r), writeFd: descriptor(fd ?? w) },
  };
}

function invitation(address: string, token: unknown, ca: unknown): Invitation {
  if (isText(token) && isText(ca) && ca.startsWith("sha256:")) {
    return { address: parseNetworkAddress(address), token, fingerprint: ca };
  }
  throw new ConfigError('the launch configuration\'s "address" needs a "token" and the fingerprint of a "ca"');
}

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";

function descriptor(value: unknown): number {
  if (!isWhole(value)) throw new ConfigError('the launch configuration needs "fd", or "r" and "w", as whole numbers');
  if (value < 3) throw new ConfigError(`the launch configuration names descriptor ${value}; it must be above 2`);
  return value;
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}
