import { type IncomingMessage, Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { createContextValues } from "@connectrpc/connect";
import { answer, App, refuse, type Servable, type ServeOptions } from "./app.js";
import { countBody } from "./bodyMemory.js";
import { type FastPathApp, serveFastPath } from "./fastPath.js";
import { Gate } from "./gate.js";
import { HEALTH_ALIAS } from "./health.js";
import { MAX_MESSAGE } from "./limits.js";
import { answerUnknown, isReferring, LENT, type References, serveReferences, UNKNOWN } from "./references.js";
import type { Answer } from "./unaryMethod.js";
import type { WholeRequest } from "./wholeRequest.js";
import { MuxStream } from "./yamux/index.js";

export interface LinkAppOptions extends Servable, ServeOptions {}

const HEALTH = "/health";
/** The types of the messages of unary calls. */
const FAST_TYPES = new Set(["application/proto", "application/json"]);
const UNGATED = new Set([HEALTH, "/plugins.v1.PluginService/Shutdown"]);

/**
 * Serves what one end of a link offers, on each connection that is passed to `serve`: health, raw streams, RPC services,
 * and lent objects.
 */
export class LinkApp {
  /** Options that apply to everything that is served here. */
  readonly options: ServeOptions;
  /** Holds requests until this end is ready. `/health` and `Shutdown` are never held. */
  gate: Gate | undefined;
  readonly #server: Server;
  readonly #app: App;
  readonly #fastPath: FastPathApp;
  /** The objects that are lent to the peer, by connection. */
  readonly #lent = new WeakMap<Duplex, References>();
  /** How many requests are being answered, by connection. */
  readonly #answering = new WeakMap<Duplex, number>();

  constructor(options: LinkAppOptions) {
    this.options = options;
    const routes: Servable["routes"] = (router) => {
      options.routes(router);
      serveReferences(router);
    };
    const values = (connection: Duplex) => createContextValues().set(LENT, this.#lent.get(connection));
    this.#app = new App({ ...options, routes }, options, ({ socket }) => values(socket));
    this.#fastPath = { find: (request) => this.#findUnary(request), values };
    // A streaming request may take as long as it likes, so the server sets no limit; the mux bounds the streams.
    this.#server = new Server({ requestTimeout: 0 }, (request, response) => this.#request(request, response));
    this.#server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) => {
      stream.on("error", () => {}); // It may come while the gate is closed. A handler is told of it as well.
      if (stream instanceof MuxStream) stream.keep(undefined);
      this.#pass(request, (isOpen) => this.#upgrade(isOpen, request, stream, head));
    });
  }

  /** Full names of the RPC services. */
  get services(): readonly string[] {
    return this.#app.services;
  }

  /** Serves HTTP on a connection: a mux stream, or any other Duplex. On a link, `lent` is served as well. */
  serve(connection: Duplex, lent?: References): void {
    if (lent) this.#lent.set(connection, lent);
    if (connection instanceof MuxStream) serveFastPath(this.#fastPath, connection, () => this.#take(connection));
    else this.#take(connection);
  }

  #take(connection: Duplex): void {
    // As in Go, a caller that ends its side before it has the response counts as gone.
    connection.once("end", () => {
      if (this.#answering.get(connection)) connection.destroy();
    });
    this.#server.emit("connection", connection);
  }

  #countAnswering(connection: Duplex, change: number): void {
    this.#answering.set(connection, (this.#answering.get(connection) ?? 0) + change);
  }

  #findUnary({ path, type, body }: WholeRequest): Answer | undefined {
    const isPlain = FAST_TYPES.has(type) && body.length <= (this.options.maxMessageBytes ?? MAX_MESSAGE);
    return isPlain && (!this.gate || this.gate.isOpen) ? this.#app.unary(path) : undefined;
  }

  /** Maps gRPC's health service to our handlers, unless the plugin serves that service itself. */
  #mapHealth(request: IncomingMessage): void {
    const url = request.url ?? "";
    if (url.startsWith(HEALTH_ALIAS.from) && !this.services.includes(HEALTH_ALIAS.from.slice(1, -1))) {
      request.url = HEALTH_ALIAS.to + url.slice(HEALTH_ALIAS.from.length);
    }
  }

  #pass(request: IncomingMessage, go: (isOpen: boolean) => void): void {
    if (!this.gate || UNGATED.has(request.url ?? "")) go(true);
    else this.gate.wait(go);
  }

  /** Returns the app for a request: this one, or that of a lent object; undefined if the reference is unknown. */
  #find(request: IncomingMessage): App | undefined {
    return isReferring(request) ? this.#lent.get(request.socket)?.find(request) : this.#app;
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    this.#countAnswering(socket, 1);
    response.once("close", () => this.#countAnswering(socket, -1));
    this.#mapHealth(request);
    countBody(request);
    this.#pass(request, (isOpen) => {
      if (!isOpen) return answer(response, 503, "not registered in time");
      if (request.url === HEALTH) return answer(response, 200, "ok");
      const app = this.#find(request);
      if (app) app.request(request, response);
      else answerUnknown(request, response);
    });
  }

  #upgrade(isOpen: boolean, request: IncomingMessage, stream: Duplex, head: Buffer): void {
    if (!isOpen) return refuse(stream, "503 Service Unavailable", "not registered in time");
    const app = this.#find(request);
    if (app) app.upgrade(request, stream, head);
    else refuse(stream, "404 Not Found", UNKNOWN);
  }
}
