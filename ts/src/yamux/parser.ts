import { decodeHeader, HEADER_SIZE, type Header } from "./frame.js";

/** Receives the frames from a parser. */
export interface FrameSink {
  /** Receives a header, and returns how many bytes of payload follow it. */
  header(header: Header): number;
  /** Receives the next chunk of the payload; `last` is true for the one that completes it. */
  payload(data: Buffer, last: boolean): void;
}

/** Splits a byte stream into frames. It buffers at most part of a header; payload is passed on as it arrives. */
export class FrameParser {
  readonly #header = Buffer.alloc(HEADER_SIZE);
  #headerSize = 0;
  #payloadLeft = 0;

  /** Whether the bytes so far end within a frame. */
  get isWithinFrame(): boolean {
    return this.#headerSize > 0 || this.#payloadLeft > 0;
  }

  feed(data: Buffer, sink: FrameSink): void {
    let position = 0;
    while (position < data.length) {
      if (this.#payloadLeft > 0) {
        const end = Math.min(position + this.#payloadLeft, data.length);
        this.#payloadLeft -= end - position;
        sink.payload(data.subarray(position, end), this.#payloadLeft === 0);
        position = end;
      } else if (this.#headerSize > 0 || data.length - position < HEADER_SIZE) {
        const copied = data.copy(this.#header, this.#headerSize, position);
        this.#headerSize += copied;
        position += copied;
        if (this.#headerSize === HEADER_SIZE) {
          this.#headerSize = 0;
          this.#payloadLeft = sink.header(decodeHeader(this.#header, 0));
        }
      } else {
        const header = decodeHeader(data, position);
        position += HEADER_SIZE;
        this.#payloadLeft = sink.header(header);
      }
    }
  }
}
