/** Connects to an address in the network, and knows who answers before anything is sent. */

import { once } from "node:events";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { ConfigError, DialError, UntrustedPeerError } from "../errors.js";
import { errorMessage } from "../errorMessage.js";
import { isSecure, type NetworkAddress, written } from "./address.js";
import type { Credentials } from "./credentials.js";
import { checkRuntime, UntrustedIdentity } from "./identity.js";
import { refusal, verified } from "./refusal.js";

/** The protocol that both ends offer, before HTTP/1.1 for programs such as curl. */
export const ALPN = ["plugmux/1", "http/1.1"];

/** Milliseconds for the connection and the handshake together. */
export const CONNECT_TIMEOUT = 5_000;

/** The error for an address that needs a certificate where there is none. */
export function noCertificate(address: NetworkAddress): ConfigError {
  return new ConfigError(
    `${written(address)} needs a certificate: set PLUGMUX_TLS_DIR, or PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY and PLUGMUX_TLS_CA, or ` +
      "give the option tls",
  );
}

/**
 * Connects to an address that is not looked up.
 *
 * @param hostName the name that the address was looked up from, which the other end is told (SNI), and which its
 *     certificate may cover.
 * @throws ConfigError when the address needs a certificate and there is none.
 * @throws DialError when nobody answers there, or one end refuses the other's certificate.
 */
export async function connect(
  address: NetworkAddress,
  credentials: Credentials | undefined,
  hostName: string,
): Promise<Socket> {
  if (!isSecure(address)) return open(connectTcp(address.port, address.host), "connect", address);
  if (!credentials) throw noCertificate(address);
  await credentials.refresh();
  const socket = connectTls({
    host: address.host,
    port: address.port,
    secureContext: credentials.context,
    minVersion: "TLSv1.3",
    ALPNProtocols: ALPN,
    rejectUnauthorized: false, // It is refused below, with the reason.
    checkServerIdentity: () => undefined, // Who it is says its identity, of which a host name is one kind.
    ...(!isIP(hostName) && { servername: hostName }),
  });
  await open(socket, "secureConnect", address, credentials);
  try {
    checkServer(socket, credentials, hostName);
  } catch (error) {
    socket.destroy();
    if (!(error instanceof UntrustedIdentity)) throw error;
    throw new UntrustedPeerError(`${written(address)}: ${error.message}`, { cause: error });
  }
  return socket;
}

/** @throws UntrustedIdentity when the other end has not the certificate of a runtime that is accepted. */
export function checkServer(socket: TLSSocket, credentials: Credentials, host: string): void {
  checkRuntime(verified(socket, credentials, "a server"), credentials.peers, host);
}

async function open<Connection extends Socket>(
  socket: Connection,
  event: string,
  address: NetworkAddress,
  credentials?: Credentials,
): Promise<Connection> {
  socket.on("error", () => {}); // Whoever reads it is told.
  socket.setNoDelay();
  const signal = AbortSignal.timeout(CONNECT_TIMEOUT);
  const hasEnded = once(socket, "close", { signal }).then(() => {
    throw socket.errored ?? Object.assign(new Error("it ended the connection"), { code: "ECONNRESET" });
  });
  try {
    await Promise.race([once(socket, event, { signal }), hasEnded]);
    return socket;
  } catch (error) {
    socket.destroy();
    const isRefused = error instanceof Error && "syscall" in error && error.syscall === "connect";
    let why = `it did not answer within ${CONNECT_TIMEOUT / 1000} s`;
    if (!signal.aborted) why = credentials && !isRefused ? refusal(error, credentials) : errorMessage(error);
    throw new DialError(`${written(address)}: ${why}`, { cause: error });
  } finally {
    hasEnded.catch(() => {});
  }
}
