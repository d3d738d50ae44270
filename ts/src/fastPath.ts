/**
 * Answers unary calls without the HTTP server of Node.js, which takes longer than all the rest of a call. It serves calls
 * whose request has come as a whole and is of the plainest form. The server gets every other request.
 */

import type { ContextValues } from "@connectrpc/connect";
import { CallEnd } from "./unaryContext.js";
import type { Answer } from "./unaryMethod.js";
import { parseWholeRequest, type WholeRequest } from "./wholeRequest.js";
import type { MuxStream } from "./yamux/index.js";

/** What is called on the fast path. */
export interface FastPathApp {
  /** Finds what answers a request; undefined leaves the request to the HTTP server. */
  find(request: WholeRequest): Answer | undefined;
  /** Makes what handlers find in their context. */
  values(stream: MuxStream): ContextValues;
}

/**
 * Serves the requests of a stream, until one comes that is not for the fast path.
 *
 * @param pass takes over the stream, from which everything can be read again.
 */
export function serveFastPath(app: FastPathApp, stream: MuxStream, pass: () => void): void {
  new Connection(app, stream, pass).start();
}

class Connection {
  readonly #app: FastPathApp;
  readonly #stream: MuxStream;
  readonly #pass: () => void;
  /** The end of the call under way. */
  #call: CallEnd | undefined;

  constructor(app: FastPathApp, stream: MuxStream, pass: () => void) {
    this.#app = app;
    this.#stream = stream;
    this.#pass = pass;
  }

  start(): void {
    this.#stream.on("data", this.#received).on("end", this.#ended).on("close", this.#closed).on("error", ignore);
  }

  readonly #received = (data: Buffer): void => {
    // The next request came before the response to this one, or before the caller has read the responses.
    if (this.#call || this.#stream.writableNeedDrain) return this.#putBack(data);
    const request = parseWholeRequest(data);
    const answer = request && this.#app.find(request);
    if (answer) {
      void this.#answer(request, answer);
    } else {
      this.#putBack(data);
      this.#leave();
    }
  };

  /** As in Go, a caller that ends its side before it has the response counts as gone. */
  readonly #ended = (): void => {
    if (this.#call) this.#stream.destroy();
    else this.#stream.end();
  };

  readonly #closed = (): void => this.#call?.abort();

  #putBack(data: Buffer): void {
    this.#stream.pause();
    this.#stream.unshift(data);
    this.#stream.keepTaken();
    this.#stream.keep(data.length);
  }

  #leave(): void {
    this.#stream.off("data", this.#received).off("end", this.#ended).off("close", this.#closed).off("error", ignore);
    this.#pass();
    this.#stream.resume();
  }

  async #answer(request: WholeRequest, answer: Answer): Promise<void> {
    const stream = this.#stream;
    const call = (this.#call = new CallEnd());
    try {
      const bytes = await answer(request, call, this.#values);
      if (!stream.destroyed) stream.write(bytes);
    } catch (error) {
      console.error(`${request.path} could not be answered:`, error);
      stream.destroy();
    }
    this.#call = undefined;
    if (request.close) stream.destroySoon();
    else if (stream.writableNeedDrain) stream.once("drain", this.#goOn);
    else this.#goOn();
  }

  readonly #goOn = (): void => {
    if (!this.#stream.isPaused()) return;
    this.#stream.keep(undefined);
    this.#stream.resume();
  };

  readonly #values = (): ContextValues => this.#app.values(this.#stream);
}

function ignore(): void {
  // The stream is destroyed after an error, and "close" follows.
}
