/** Counts what is kept of requests that have not come as a whole, so that the memory of a link bounds them. */

import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { MuxStream } from "./yamux/index.js";

const ENVELOPE_HEAD = 5;

/** Counts the body of a request on a stream of a mux: until its end, or message by message where it is a stream of them. */
export function countBody(request: IncomingMessage): void {
  const stream: unknown = request.socket;
  if (!(stream instanceof MuxStream)) return;
  stream.keepTaken(); // Also of a second request on the stream.
  if (!request.headers["content-type"]?.startsWith("application/connect+")) {
    request.once("end", () => stream.keep(undefined));
    return;
  }
  const count = (): AsyncGenerator<Buffer> => countMessages(request, stream);
  Object.defineProperty(request, Symbol.asyncIterator, { value: count, configurable: true });
}

async function* countMessages(request: IncomingMessage, stream: MuxStream): AsyncGenerator<Buffer> {
  const envelopes = new Envelopes();
  for await (const chunk of { [Symbol.asyncIterator]: () => Readable.prototype[Symbol.asyncIterator].call(request) }) {
    envelopes.feed(chunk as Buffer);
    stream.keep(envelopes.unfinished);
    yield chunk as Buffer;
  }
  stream.keep(undefined);
}

/** Finds the ends of messages in a body of the Connect protocol. */
class Envelopes {
  readonly #head = Buffer.alloc(ENVELOPE_HEAD);
  #headSize = 0;
  #length = 0;
  #left = 0;

  /** Bytes of the message that has not come as a whole. */
  get unfinished(): number {
    return this.#headSize + this.#length - this.#left;
  }

  feed(chunk: Buffer): void {
    for (let position = 0; position < chunk.length; ) {
      if (this.#headSize < ENVELOPE_HEAD) {
        const copied = chunk.copy(this.#head, this.#headSize, position);
        this.#headSize += copied;
        position += copied;
        if (this.#headSize === ENVELOPE_HEAD) this.#length = this.#left = this.#head.readUInt32BE(1);
      } else {
        const taken = Math.min(this.#left, chunk.length - position);
        this.#left -= taken;
        position += taken;
      }
      if (this.#headSize === ENVELOPE_HEAD && this.#left === 0) this.#headSize = this.#length = 0;
    }
  }
}
