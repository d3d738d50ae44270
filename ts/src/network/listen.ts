/** Serves the runtimes that connect to a plugin that listens. */

import { constants } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from "node:net";
import { createServer as createTlsServer, type SecureContextOptions, type TLSSocket } from "node:tls";
import { once } from "node:events";
import { answer, refuse } from "../app.js";
import { ConfigError } from "../errors.js";
import { errorMessage } from "../errorMessage.js";
import { isLookedUp, isSecure, type NetworkAddress, written } from "./address.js";
import { ALPN, CONNECT_TIMEOUT, noCertificate } from "./connect.js";
import type { Credentials } from "./credentials.js";
import { checkRuntime, UntrustedIdentity } from "./identity.js";
import { refusal, verified } from "./refusal.js";

const ACCEPTED = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n";
/** Connections that are not links yet. One more ends the oldest, so that those which are opened and left keep nobody out. */
const MAX_WAITING = 1024;
/** Milliseconds that a connection has to become a link, its handshake included. */
const WAITING_TIME = 2 * CONNECT_TIMEOUT;
export const MAX_LINKS = 256;

export interface ListenOptions {
  readonly address: NetworkAddress;
  readonly credentials: Credentials | undefined;
  /** Given each connection that has become a link. */
  readonly serve: (connection: Duplex) => void;
  /** Whether one more link may be served. */
  readonly hasRoom: () => boolean;
  /** Told who was refused, and why. */
  readonly tell: (peer: string, why: string) => void;
}

/** What listens; it has been closed when `close` has returned. */
export interface Listener {
  readonly address: NetworkAddress;
  close(): Promise<void>;
}

/** @throws ConfigError when nobody can listen at the address. */
export async function listen({ address, serve, hasRoom, tell, ...rest }: ListenOptions): Promise<Listener> {
  const credentials = isSecure(address) ? rest.credentials : undefined;
  if (isLookedUp(address)) {
    throw new ConfigError(`a plugin cannot listen at ${written(address)}: write tls://host:port`);
  }
  if (isSecure(address) && !credentials) throw noCertificate(address);
  const refused = new WeakMap<Socket, string>();
  const waiting = new Waiting();
  const http = createServer((request, response) => {
    const why = refused.get(request.socket);
    if (why !== undefined) answer(response, 403, why);
    else if (request.url === "/health") answer(response, 200, "ok");
    else answer(response, 404, "this is a plugin: a runtime begins a link with GET /hijack");
  });
  http.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    const why = refused.get(request.socket);
    if (why !== undefined) return refuse(stream, "403 Forbidden", why);
    if (request.url !== "/hijack") return refuse(stream, "404 Not Found", "a runtime begins a link with GET /hijack");
    if (!hasRoom()) return refuse(stream, "503 Service Unavailable", `this plugin has ${MAX_LINKS} links already`);
    waiting.leave(request.socket);
    stream.write(ACCEPTED);
    if (head.length > 0) stream.unshift(head);
    serve(stream);
  });
  const admit = (socket: Socket): void => {
    const why = credentials && fault(socket as TLSSocket, credentials);
    if (why !== undefined) {
      refused.set(socket, `${peerOf(socket)}: ${why}`); // It is told when it asks for anything.
      tell(peerOf(socket), why);
    }
    socket.on("error", () => {}); // Whoever reads it is told.
    http.emit("connection", socket);
  };
  const server = accept(admit, credentials, tell);
  server.on("connection", (socket: Socket) => waiting.enter(socket));
  server.listen({ host: address.host, port: address.port });
  try {
    await once(server, "listening");
  } catch (error) {
    throw new ConfigError(`cannot listen at ${written(address)}: ${errorMessage(error)}`, { cause: error });
  }
  const bound = server.address();
  return {
    address: { ...address, port: typeof bound === "object" && bound ? bound.port : address.port },
    async close() {
      const closed = once(server, "close");
      server.close();
      waiting.endAll();
      await closed;
    },
  };
}

/**
 * The connections that are no link yet, by who is at the other end, the oldest first. Each must become one in time: node's own
 * limit of a handshake is one of silence, and those of requests hold only for a server that listens itself.
 */
class Waiting {
  readonly #sockets = new Map<string, { socket: Socket; timer: NodeJS.Timeout }>();

  enter(socket: Socket): void {
    const peer = peerOf(socket);
    const timer = setTimeout(() => socket.destroy(), WAITING_TIME);
    this.#sockets.set(peer, { socket, timer });
    socket.once("close", () => {
      clearTimeout(timer);
      if (this.#sockets.get(peer)?.socket === socket) this.#sockets.delete(peer);
    });
    const [oldest] = this.#sockets;
    if (oldest && this.#sockets.size > MAX_WAITING) {
      this.#sockets.delete(oldest[0]);
      oldest[1].socket.destroy();
    }
  }

  /** Ends those that are left: node's `closeAllConnections` knows only those of a server that listens itself. */
  endAll(): void {
    for (const { socket } of this.#sockets.values()) socket.destroy();
  }

  /** Takes a connection out that has become a link. */
  leave(socket: Socket): void {
    clearTimeout(this.#sockets.get(peerOf(socket))?.timer);
    this.#sockets.delete(peerOf(socket));
  }
}

/** The server that gives connections on when their handshakes are done. */
function accept(
  give: (socket: Socket) => void,
  credentials: Credentials | undefined,
  tell: ListenOptions["tell"],
): TcpServer {
  if (!credentials) return createTcpServer({ noDelay: true }, give);
  const server = createTlsServer(
    {
      ...contextOf(credentials),
      ALPNProtocols: ALPN,
      requestCert: true,
      rejectUnauthorized: false, // It is refused with the reason.
      handshakeTimeout: CONNECT_TIMEOUT,
      noDelay: true,
    },
    give,
  );
  credentials.onChange = () => server.setSecureContext(contextOf(credentials));
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => tell(peerOf(socket), refusal(error, credentials)));
  return server;
}

/**
 * What handshakes that begin now use. No session is resumed: it would go on with a certificate that has expired since, or
 * whose CA is not trusted any more.
 */
function contextOf({ options }: Credentials): SecureContextOptions {
  return {
    ...options,
    minVersion: "TLSv1.3",
    secureOptions: (options.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET,
  };
}

/** Why a peer is refused; undefined where it is not. */
function fault(socket: TLSSocket, credentials: Credentials): string | undefined {
  try {
    checkRuntime(verified(socket, credentials, "a client"), credentials.peers, "");
    return undefined;
  } catch (error) {
    if (error instanceof UntrustedIdentity) return error.message;
    throw error;
  }
}

function peerOf({ remoteAddress = "an unknown address", remotePort = 0 }: Socket): string {
  const host = remoteAddress.replace(/^::ffff:/, "");
  return `${host.includes(":") ? `[${host}]` : host}:${remotePort}`;
}
