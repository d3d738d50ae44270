import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { ConfigError, DialError } from "./errors.js";
import { DIAL_TIMEOUT } from "./limits.js";
import type { Ends } from "./link.js";
import { errorMessage } from "./errorMessage.js";
import { shown } from "./registration.js";
import { upgrade } from "./upgrade.js";

/** Bytes that the name of a socket may have on this system. */
const MAX_SOCKET_NAME = process.platform === "linux" ? 107 : 103;

/**
 * Reads the address of a runtime, `unix:/path` or `unix:@abstract`, and gives the name of the socket.
 *
 * @throws ConfigError when it is of another form, or longer than the name of a socket may be.
 */
export function parseAddress(text: string): string {
  const [, scheme = "unix", name = ""] = /^(?:([^:]*):(?:\/\/)?)?(.*)$/s.exec(text) ?? [];
  const isKnown = scheme === "unix" && (name.includes("/") || name.startsWith("@")); // A path without a slash is a slip.
  if (!isKnown || name === "@" || name.includes("\0")) {
    throw new ConfigError(`the address ${shown(text)} is not valid: write unix:/path or unix:@name`);
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

/**
 * Connects to a runtime's socket and makes the connection a link. Bytes behind the answer belong to the link and are
 * read from the connection first.
 */
export async function dial(address: string): Promise<Duplex> {
  const name = parseAddress(address);
  const path = name.startsWith("@") ? `\0${name.slice(1)}` : name;
  try {
    return await upgrade({
      connect: () => connect(path),
      path: "/hijack",
      headers: { Host: "secrets-engine.localhost", Connection: "upgrade", Upgrade: "tcp" },
      timeout: DIAL_TIMEOUT,
    });
  } catch (error) {
    const hint = name.startsWith("@") && isPaddingAbstractNames() ? "; node before 22 reaches no abstract socket" : "";
    throw new DialError(
      `no runtime at ${address}: ${errorMessage(error)}${hint}; start one there, or set PLUGMUX_SOCKET`.replace(
        "\0",
        "@",
      ),
      { cause: error },
    );
  }
}

/**
 * Connects to the socket that a launch names; the connection is the link as it is.
 *
 * @param timeout milliseconds for the connection.
 */
export async function connectTo(path: string, timeout: number): Promise<Ends> {
  const connection = connect(path);
  try {
    await once(connection, "connect", { signal: AbortSignal.timeout(timeout) });
  } catch (error) {
    connection.destroy();
    throw new DialError(`the runtime that launched this plugin cannot be reached at ${path}`, { cause: error });
  }
  return { input: connection, output: connection };
}

/** Node before 22 fills abstract names up with zeros, which makes other names of them. */
function isPaddingAbstractNames(): boolean {
  return Number.parseInt(process.versions.node, 10) < 22;
}
