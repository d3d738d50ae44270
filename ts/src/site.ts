import { type IncomingMessage, type RequestListener, Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type ConnectRouter, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Gate } from "./gate.js";
import { HEALTH_ALIAS } from "./health.js";

/** Serves one raw stream, which is half-closed when the promise resolves and reset when it rejects. */
export type StreamHandler = (stream: Duplex) => Promise<void>;

export interface SiteOptions {
  /** Adds the RPC services. */
  readonly routes: (router: ConnectRouter) => void;
  /** Handlers of raw streams, by the name under which the peer opens them. */
  readonly streams?: Readonly<Record<string, StreamHandler>>;
  /** Run around every RPC, the first outermost. */
  readonly interceptors?: readonly Interceptor[];
  /** The most bytes that a message may have; 16 MiB by default. */
  readonly maxMessageBytes?: number;
}

export const DEFAULT_MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
export const STREAM_PREFIX = "/stream/";
export const STREAM_PROTOCOL = "plugmux-stream";
const LONGEST_STREAM_NAME = 256;
const HEALTH = "/health";
const UNGATED = new Set([HEALTH, "/plugins.v1.PluginService/Shutdown"]);

/** What one end of a link serves: health, raw streams and RPC services, on connections that are given to `serve`. */
export class Site {
  /** Full names of the RPC services. */
  readonly services: readonly string[];
  /** Where requests wait until this end is ready; `/health` and `Shutdown` pass it always. */
  gate: Gate | undefined;
  readonly #server: Server;
  readonly #streams: ReadonlyMap<string, StreamHandler>;
  readonly #rpc: RequestListener;

  constructor({ routes, streams = {}, interceptors = [], maxMessageBytes }: SiteOptions) {
    const services = new Set<string>();
    this.#rpc = connectNodeAdapter({
      routes(router) {
        routes(router);
        for (const handler of router.handlers) services.add(handler.service.typeName);
      },
      interceptors: [...interceptors],
      readMaxBytes: maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES,
    });
    this.services = [...services].sort();
    this.#streams = new Map(Object.entries(streams));
    // A streaming request may take as long as it likes, so the server sets no limit; the mux bounds the streams.
    this.#server = new Server({ requestTimeout: 0 }, (request, response) => this.#request(request, response));
    this.#server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) => {
      this.#pass(request, (isOpen) => this.#upgrade(isOpen, request, stream, head));
    });
  }

  /** Serves HTTP on a connection: a mux stream, or any other Duplex. */
  serve(connection: Duplex): void {
    this.#server.emit("connection", connection);
  }

  /** Health has its handlers under a name of our own, unless the plugin serves gRPC's by itself. */
  #translate(request: IncomingMessage): void {
    const url = request.url ?? "";
    if (url.startsWith(HEALTH_ALIAS.from) && !this.services.includes(HEALTH_ALIAS.from.slice(1, -1))) {
      request.url = HEALTH_ALIAS.to + url.slice(HEALTH_ALIAS.from.length);
    }
  }

  #pass(request: IncomingMessage, go: (isOpen: boolean) => void): void {
    if (!this.gate || UNGATED.has(request.url ?? "")) go(true);
    else this.gate.wait(go);
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    // As in Go, a caller that ends its side has gone away: it would have to read the response before.
    request.socket.once("end", () => request.socket.destroy());
    this.#translate(request);
    this.#pass(request, (isOpen) => {
      const url = request.url ?? "";
      if (!isOpen) answer(response, 503, "not registered in time");
      else if (url === HEALTH) answer(response, 200, "ok");
      else if (!url.startsWith(STREAM_PREFIX)) this.#rpc(request, response);
      else if (this.#streams.has(streamName(url)))
        answer(response, 426, `a raw stream begins with Upgrade: ${STREAM_PROTOCOL}`);
      else answer(response, 404, unknownStream(url));
    });
  }

  #upgrade(isOpen: boolean, request: IncomingMessage, stream: Duplex, head: Buffer): void {
    const url = request.url ?? "";
    const handler = this.#streams.get(streamName(url));
    if (!isOpen) return refuse(stream, "503 Service Unavailable", "not registered in time");
    if (request.headers.upgrade !== STREAM_PROTOCOL || !url.startsWith(STREAM_PREFIX)) {
      return refuse(stream, "400 Bad Request", "there is nothing to upgrade to here");
    }
    if (!handler) return refuse(stream, "404 Not Found", unknownStream(url));
    stream.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${STREAM_PROTOCOL}\r\n\r\n`);
    if (head.length > 0) stream.unshift(head);
    handler(stream).then(
      () => void stream.end(),
      (error: unknown) => void stream.destroy(error instanceof Error ? error : new Error(String(error))),
    );
    stream.on("error", () => {}); // The handler hears of it, or has ended and does not care.
  }
}

function streamName(url: string): string {
  try {
    return decodeURIComponent(url.slice(STREAM_PREFIX.length)).slice(0, LONGEST_STREAM_NAME);
  } catch {
    return "";
  }
}

function unknownStream(url: string): string {
  return `no raw stream is served under the name ${JSON.stringify(streamName(url))}`;
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Length": Buffer.byteLength(text),
  });
  response.end(text);
}

/** Answers a request that node's server has let go of, because it asked for an upgrade. */
function refuse(stream: Duplex, status: string, text: string): void {
  const length = Buffer.byteLength(text);
  stream.on("error", () => {});
  stream.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${length}\r\n\r\n${text}`,
  );
  stream.resume();
}
