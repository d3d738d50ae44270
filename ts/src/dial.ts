import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ConfigError, DialError, UntrustedPeerError } from "./errors.js";
import { DIAL_TIMEOUT } from "./limits.js";
import type { Ends } from "./link.js";
import { errorMessage } from "./errorMessage.js";
import { checkListener, listenerProcess, type TrustedUsers } from "./peerUsers.js";
import { shown } from "./registration.js";
import { upgrade } from "./upgrade.js";

/** Bytes that the name of a socket may have on this system. */
const MAX_SOCKET_NAME = process.platform === "linux" ? 107 : 103;

const IS_WINDOWS = process.platform === "win32";
const FORMS = IS_WINDOWS ? "pipe:NAME" : "unix:/path or unix:@name";

/** How the path of each named pipe of this machine begins. */
const PIPE_PREFIX = "\\\\.\\pipe\\";

/** Characters that the name of a pipe may have: its path may have 256. */
const MAX_PIPE_NAME = 256 - PIPE_PREFIX.length;

/**
 * Reads the address of a runtime, `unix:/path` or `unix:@abstract` and on Windows `pipe:NAME`, and gives the name of the
 * socket, or the path of the pipe.
 *
 * @throws ConfigError when it is of another form, longer than the name of a socket may be, or not of this system.
 */
export function parseAddress(text: string): string {
  if (text.startsWith("pipe:")) return pipePath(text, text.slice("pipe:".length));
  const [, scheme = "unix", name = ""] = /^(?:([^:]*):(?:\/\/)?)?(.*)$/s.exec(text) ?? [];
  const isKnown = scheme === "unix" && (name.includes("/") || name.startsWith("@")); // A path without a slash is a slip.
  if (!isKnown || name === "@" || name.includes("\0")) {
    throw new ConfigError(`the address ${shown(text)} is not valid: write ${FORMS}`);
  }
  if (IS_WINDOWS) {
    throw new ConfigError(
      `the address ${shown(text)} is of a unix socket, which Node.js has not on Windows: write pipe:NAME`,
    );
  }
  if (name.startsWith("@") && process.platform !== "linux") {
    throw new ConfigError(`the address ${shown(text)} is abstract, which only Linux has: write unix:/path`);
  }
  const size = Buffer.byteLength(name);
  if (size > MAX_SOCKET_NAME) {
    throw new ConfigError(
      `the address ${shown(text)} is too long: the name has ${size} bytes, and this system allows ${MAX_SOCKET_NAME}`,
    );
  }
  return name;
}

function pipePath(text: string, name: string): string {
  if (name === "" || /[\\/\0]/.test(name)) {
    throw new ConfigError(
      `the address ${shown(text)} is not valid: write pipe:NAME, without a slash or a backslash in the name`,
    );
  }
  if (name.length > MAX_PIPE_NAME) {
    throw new ConfigError(
      `the address ${shown(text)} is too long: the name has ${name.length} characters, and Windows allows ${MAX_PIPE_NAME}`,
    );
  }
  if (!IS_WINDOWS) {
    throw new ConfigError(
      `the address ${shown(text)} is of a named pipe, and only Windows has those: write unix:/path`,
    );
  }
  return PIPE_PREFIX + name;
}

/**
 * Connects to a runtime's socket and makes the connection a link. Bytes behind the answer belong to the link and are
 * read from the connection first.
 *
 * @throws DialError when no runtime listens there, or one of a user that is not trusted.
 */
export async function dial(address: string, users: TrustedUsers): Promise<Duplex> {
  const name = parseAddress(address);
  try {
    const connection = await connectTrusted(name, DIAL_TIMEOUT, users);
    return await hijack(connection, DIAL_TIMEOUT);
  } catch (error) {
    if (error instanceof DialError) throw error;
    throw new DialError(`no runtime at ${address}: ${errorMessage(error)}; start one there, or set PLUGMUX_SOCKET`, {
      cause: error,
    });
  }
}

/**
 * Makes a connection to a runtime a link. Rejects as `upgrade` does.
 *
 * @param timeout milliseconds for the answer.
 */
export function hijack(connection: Duplex, timeout: number): Promise<Duplex> {
  return upgrade({
    connect: () => connection,
    path: "/hijack",
    headers: { Host: "secrets-engine.localhost", Connection: "upgrade", Upgrade: "tcp" },
    timeout,
  });
}

/**
 * Connects to the socket that a launch names; the connection is the link as it is.
 *
 * @param timeout milliseconds for the connection.
 * @param users who may listen there; undefined where it is the runtime that launched this process. In a container the
 *     users of the two ends could not be compared.
 */
export async function connectTo(path: string, timeout: number, users?: TrustedUsers): Promise<Ends> {
  try {
    const connection = await (users ? connectTrusted(path, timeout, users) : open(path, timeout));
    return { input: connection, output: connection, isLocal: true, ...(users && { pid: await listenerProcess(path) }) };
  } catch (error) {
    if (error instanceof UntrustedPeerError) throw error;
    throw new DialError(`the runtime that launched this plugin cannot be reached at ${path}`, { cause: error });
  }
}

/** Connects to a socket of a trusted user; see peerUsers.ts. */
async function connectTrusted(name: string, timeout: number, users: TrustedUsers): Promise<Socket> {
  const isAbstract = name.startsWith("@");
  if (isAbstract && isPaddingAbstractNames()) {
    throw new DialError(
      `${name} is an abstract socket, which node before 22 cannot reach: let the runtime listen at unix:/path, or use a later node`,
    );
  }
  const recheck = await checkListener(name, users);
  const connection = await open(isAbstract ? `\0${name.slice(1)}` : name, timeout);
  try {
    await recheck();
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

async function open(path: string, timeout: number): Promise<Socket> {
  const connection = connect(path);
  connection.on("error", () => {}); // Whoever reads it is told.
  try {
    await once(connection, "connect", { signal: AbortSignal.timeout(timeout) });
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/** Node before 22 fills abstract names up with zeros, which makes other names of them. */
function isPaddingAbstractNames(): boolean {
  return Number.parseInt(process.versions.node, 10) < 22;
}
