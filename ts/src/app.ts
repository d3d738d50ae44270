import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { ConnectRouter, ContextValues, Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { errorMessage } from "./errorMessage.js";
import { HandlerFaults } from "./handlerFaults.js";
import { MAX_MESSAGE } from "./limits.js";
import { blameCaller, blameCallers, endAtDeadline } from "./requestBody.js";
import { checkSpelling } from "./spelling.js";
import { type Answer, answerByConnect, noteUnary, UnaryMethod } from "./unaryMethod.js";

/**
 * Serves one raw stream. When the promise resolves, the stream is half-closed, and what nobody reads of it is discarded; when
 * it rejects, the stream is reset.
 */
export type StreamHandler = (stream: Duplex) => Promise<void>;

/** What can be called: RPC services and raw streams. */
export interface Servable {
  /** Adds the RPC services. */
  routes(router: ConnectRouter): void;
  /** Handlers of raw streams, by the name under which the peer opens them. */
  readonly streams?: Readonly<Record<string, StreamHandler>>;
}

/** Options that apply to everything that one end of a link serves. */
export interface ServeOptions {
  /** Run around every RPC, the first outermost. */
  readonly interceptors?: readonly Interceptor[];
  /** The most bytes that a message may have; 4 MiB by default. */
  readonly maxMessageBytes?: number;
  /** Handles what handlers throw; by default it is printed on stderr. */
  readonly faults?: HandlerFaults;
}

export const STREAM_PREFIX = "/stream/";
export const STREAM_PROTOCOL = "plugmux-stream";
const MAX_STREAM_NAME = 256;

/** Serves requests for RPC services and raw streams, whose paths begin with the service and with `/stream/`. */
export class App {
  /** Full names of the RPC services. */
  readonly services: readonly string[];
  readonly #streams: ReadonlyMap<string, StreamHandler>;
  readonly #rpc: RequestListener;
  readonly #faults: HandlerFaults;
  readonly #unary = new Map<string, Answer>();

  /** @param values what handlers find in their context. */
  constructor(servable: Servable, options: ServeOptions, values?: (request: IncomingMessage) => ContextValues) {
    const services = new Set<string>();
    const maxBytes = options.maxMessageBytes ?? MAX_MESSAGE;
    this.#faults = options.faults ?? new HandlerFaults((what, error) => console.error(`${what} has failed:`, error));
    this.#rpc = connectNodeAdapter({
      routes: (router) => {
        checkSpelling(router);
        const specs = noteUnary(router);
        servable.routes(router);
        for (const handler of router.handlers) services.add(handler.service.typeName);
        blameCallers(router);
        for (const [index, handler] of router.handlers.entries()) {
          if (handler.method.methodKind !== "unary") continue;
          const byConnect = answerByConnect(handler);
          const spec = options.interceptors?.length ? undefined : specs.get(index);
          const method = spec && new UnaryMethod(spec, byConnect, this.#faults, maxBytes);
          this.#unary.set(handler.requestPath, method?.answer ?? byConnect);
        }
      },
      interceptors: [blameCaller, this.#faults.interceptor, ...(options.interceptors ?? [])],
      readMaxBytes: maxBytes,
      ...(values && { contextValues: (request) => values(request as IncomingMessage) }),
    });
    this.services = [...services].sort();
    this.#streams = new Map(Object.entries(servable.streams ?? {}));
  }

  /** Finds what answers the calls of a unary method. */
  unary(path: string): Answer | undefined {
    return this.#unary.get(path);
  }

  request(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? "";
    if (!url.startsWith(STREAM_PREFIX)) this.#call(request, response);
    else if (this.#streams.has(streamName(url)))
      answer(response, 426, `a raw stream begins with Upgrade: ${STREAM_PROTOCOL}`);
    else answer(response, 404, unknownStream(url));
  }

  #call(request: IncomingMessage, response: ServerResponse): void {
    endAtDeadline(request);
    try {
      this.#rpc(asDuplex(request), response);
    } catch (error) {
      answer(response, 400, errorMessage(error)); // The path or the host does not form a URL.
    }
  }

  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    const url = request.url ?? "";
    if (request.headers.upgrade !== STREAM_PROTOCOL || !url.startsWith(STREAM_PREFIX)) {
      return refuse(stream, "400 Bad Request", "there is nothing to upgrade to here");
    }
    const handler = this.#streams.get(streamName(url));
    if (!handler) return refuse(stream, "404 Not Found", unknownStream(url));
    stream.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${STREAM_PROTOCOL}\r\n\r\n`);
    if (head.length > 0) stream.unshift(head);
    this.#faults
      .stream(streamName(url), async () => handler(stream))
      .then(
        () => void stream.end().resume(),
        (error: unknown) => void stream.destroy(error instanceof Error ? error : new Error(String(error))),
      );
  }
}

/**
 * HTTP/1.1 on a mux stream is full duplex. Connect assumes that of HTTP/2 alone, and refuses bidirectional streams over
 * anything older, so this claims HTTP/2.
 */
function asDuplex(request: IncomingMessage): IncomingMessage {
  if (request.headers["content-type"]?.startsWith("application/connect+")) request.httpVersion = "2.0";
  return request;
}

function streamName(url: string): string {
  try {
    return decodeURIComponent(url.slice(STREAM_PREFIX.length)).slice(0, MAX_STREAM_NAME);
  } catch {
    return "";
  }
}

function unknownStream(url: string): string {
  return `no raw stream is served under the name ${JSON.stringify(streamName(url))}`;
}

/** Sends a whole response. */
export function answer(
  response: ServerResponse,
  status: number,
  body: string | Uint8Array,
  type = "text/plain; charset=utf-8",
): void {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

/** Sends a whole response to an upgrade request, whose socket the server of Node.js has released. */
export function refuse(stream: Duplex, status: string, text: string): void {
  const length = Buffer.byteLength(text);
  stream.on("error", () => {});
  stream.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${length}\r\n\r\n${text}`,
  );
  stream.resume();
}
