/**
 * Addresses in the network. `tls://host:port` has certificates at both ends; `tcp://127.0.0.1:port` has no TLS and is for
 * loopback alone; `tls+dns://name:port` stands for every address of a name, and `tls+srv://_service._tcp.name` for its SRV
 * records.
 */

import { isIP } from "node:net";
import { ConfigError } from "../errors.js";
import { shown } from "../registration.js";

/** Set to 1, it lets `tcp://` leave this machine: for tests. */
const INSECURE_VARIABLE = "PLUGMUX_INSECURE_TCP";

const SCHEMES = ["tls", "tcp", "tls+dns", "tls+srv"] as const;
const HOST_NAME = /^[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*$/;
const MAX_HOST_NAME = 253;
const SRV_NAME = /^_[a-z0-9-]{1,62}\._(?:tcp|udp)\.(.+)$/;
const MAX_PORT = 65_535;

export interface NetworkAddress {
  readonly scheme: (typeof SCHEMES)[number];
  /** A DNS name in lower case, or an IP address without brackets. */
  readonly host: string;
  /** 0 has the system choose one to listen at, and stands where SRV records name the ports. */
  readonly port: number;
}

/** Whether a text is meant as an address in the network. */
export function isNetwork(text: string): boolean {
  return SCHEMES.some((scheme) => text.startsWith(`${scheme}://`));
}

/**
 * Reads an address as a person writes it.
 *
 * @throws ConfigError when the form is not known, or it would leave this machine without TLS.
 */
export function parseNetworkAddress(text: string, env: NodeJS.ProcessEnv = process.env): NetworkAddress {
  const scheme = SCHEMES.find((known) => text.startsWith(`${known}://`));
  if (!scheme) throw invalid(text, "the scheme is not known");
  const rest = text.slice(scheme.length + 3);
  if (scheme === "tls+srv") {
    const host = rest.toLowerCase();
    if (!isHostName(SRV_NAME.exec(host)?.[1] ?? "")) {
      throw invalid(text, "the name of SRV records is _service._tcp.name, without a port");
    }
    return { scheme, host, port: 0 };
  }
  const address = { scheme, ...hostAndPort(text, rest) };
  if (scheme === "tls+dns" && isIP(address.host)) {
    throw invalid(text, "it has an IP address where a name is looked up; write tls://");
  }
  if (scheme === "tcp" && env[INSECURE_VARIABLE] !== "1" && !isLoopback(address)) {
    throw new ConfigError(
      `the address ${shown(text)} has no TLS and leaves this machine: write tls://${rest}, or allow it for tests ` +
        `(${INSECURE_VARIABLE}=1)`,
    );
  }
  return address;
}

function hostAndPort(text: string, rest: string): { host: string; port: number } {
  const colon = rest.lastIndexOf(":");
  const digits = rest.slice(colon + 1);
  const port = Number(digits);
  if (colon < 0 || !/^\d{1,5}$/.test(digits) || port > MAX_PORT) {
    throw invalid(text, `it needs a port from 0 to ${MAX_PORT}`);
  }
  const host = rest.slice(0, colon).toLowerCase();
  if (host.startsWith("[") && host.endsWith("]")) {
    const inside = host.slice(1, -1);
    if (isIP(inside) !== 6) throw invalid(text, "the brackets hold no IPv6 address");
    if (inside.includes("%")) throw invalid(text, "it names an interface of one machine");
    return { host: new URL(`http://[${inside}]`).hostname.slice(1, -1), port }; // in its shortest form
  }
  if (host.includes(":")) throw invalid(text, "an IPv6 address stands in brackets");
  if (/^[\d.]+$/.test(host) ? !isIP(host) : !isHostName(host)) {
    throw invalid(text, "it has neither a host name nor an IP address");
  }
  return { host, port };
}

const isHostName = (host: string): boolean => host.length <= MAX_HOST_NAME && HOST_NAME.test(host);

/** Whether an address cannot leave this machine. */
export function isLoopback({ host }: NetworkAddress): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Whether both ends show certificates. */
export const isSecure = ({ scheme }: NetworkAddress): boolean => scheme !== "tcp";

/** Whether an address stands for all that a resolver gives for a name. */
export const isLookedUp = ({ scheme }: NetworkAddress): boolean => scheme === "tls+dns" || scheme === "tls+srv";

/** What a certificate is held against: the host, and for SRV records the name behind the service. */
export function serverName({ scheme, host }: NetworkAddress): string {
  return scheme === "tls+srv" ? (SRV_NAME.exec(host)?.[1] ?? host) : host;
}

/** An address as a person writes it. */
export function written({ scheme, host, port }: NetworkAddress): string {
  return scheme === "tls+srv"
    ? `${scheme}://${host}`
    : `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function invalid(text: string, why: string): ConfigError {
  return new ConfigError(
    `the address ${shown(text)} is not valid, as ${why}: write tls://host:port, tls://[IPv6]:port, tls+dns://name:port, ` +
      "tls+srv://_service._tcp.name or tcp://127.0.0.1:port",
  );
}
