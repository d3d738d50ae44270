import { Duplex } from "node:stream";
import { type SessionClosedError, StreamResetError } from "../errors.js";
import { Inbox } from "./inbox.js";
import type { StreamState } from "./state.js";

/** Bytes that a stream queues before a writer has to wait. */
const WRITE_BUFFER = 64 * 1024;

/** Writes up to this size are copied, so that the writer need not wait until they are out. */
const SMALL_WRITE = 16 * 1024;

/** The part of the mux that a stream uses. */
export interface Carrier {
  write(state: StreamState, data: Buffer): void;
  end(state: StreamState): void;
  consume(state: StreamState, size: number): void;
  /** Records that more or fewer consumed bytes are still held. */
  keep(state: StreamState, change: number): void;
  /** The stream is destroyed; `reset` is true if that was before both halves had ended. */
  release(stream: MuxStream, reset: boolean): void;
}

type Callback = (error?: Error | null) => void;

/**
 * One stream of a mux as a node Duplex. It half-closes with `end()`; `destroy()` before that resets it. The peer gets
 * credit for what has been read, never for what merely came in.
 *
 * It also has the members of a socket that the HTTP client and server of Node.js use.
 */
export class MuxStream extends Duplex {
  readonly #carrier: Carrier;
  readonly state: StreamState;
  readonly #inbox = new Inbox();
  #isWanted = true;
  #hasEnded = false;
  #keepsTaken = false;
  #kept = 0;
  #received = 0;
  #reported = 0;
  #drained: Callback | undefined;
  #finished: Callback | undefined;
  #lost: SessionClosedError | undefined;

  constructor(carrier: Carrier, state: StreamState) {
    super({ allowHalfOpen: true, readableHighWaterMark: WRITE_BUFFER, writableHighWaterMark: WRITE_BUFFER });
    this.#carrier = carrier;
    this.state = state;
  }

  get id(): number {
    return this.state.id;
  }

  /** The state as a socket has it. A stream can be written to at once, which HTTP clients check here. */
  get readyState(): "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.destroyed) return "closed";
    if (this.writable) return this.readable ? "open" : "writeOnly";
    return this.readable ? "readOnly" : "closed";
  }

  /** Half-closes, and destroys the stream when everything has been sent. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  // Calls of the mux.

  received(data: Buffer): void {
    if (this.destroyed) return;
    this.#received += data.length;
    this.#inbox.put(data);
    if (this.#isWanted) this.#pushInbox();
    this.#report();
  }

  ended(): void {
    this.#hasEnded = true;
    if (this.#inbox.size === 0) this.push(null);
  }

  /** Counts what is taken from here on as kept, until `keep` tells how much of it is. */
  keepTaken(): void {
    this.#keepsTaken = true;
  }

  /** Tells how many bytes are kept of what was taken; `undefined` ends the counting. */
  keep(size: number | undefined): void {
    if (size === undefined) this.#keepsTaken = false;
    this.#setKept(size ?? 0);
  }

  drained(): void {
    const callback = this.#drained;
    this.#drained = undefined;
    callback?.();
  }

  finished(): void {
    const callback = this.#finished;
    this.#finished = undefined;
    callback?.();
  }

  /** Handles the end of the session. Data that has arrived can still be read. */
  sessionClosed(error: SessionClosedError): void {
    if (this.state.receiving === "ended" && this.state.sending === "ended") return;
    this.#lost = error;
    if (this.#unread === 0 || this.#drained || this.#finished) this.destroy(error);
  }

  // The implementation of Duplex.

  override read(size?: number): Buffer | null {
    const chunk = super.read(size) as Buffer | null;
    this.#report();
    if (this.#lost && this.#unread === 0) process.nextTick(() => this.destroy(this.#lost));
    return chunk;
  }

  override _read(): void {
    this.#isWanted = true;
    if (this.#inbox.size > 0) this.#pushInbox();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    if (this.#lost) return callback(this.#lost);
    if (this.state.sending !== "open") {
      // The end came together with the data that is being answered; the mux tells the reason next.
      return callback(new StreamResetError(`stream ${this.state.id} has ended: nothing can be sent on it any more`));
    }
    const isSmall = chunk.length <= SMALL_WRITE;
    this.#carrier.write(this.state, isSmall ? Buffer.from(chunk) : chunk);
    if (isSmall && this.state.pendingSize <= WRITE_BUFFER) return callback();
    this.state.notifyAt = isSmall ? WRITE_BUFFER / 2 : 0;
    this.#drained = callback;
  }

  override _final(callback: Callback): void {
    if (this.#lost) return callback(this.#lost);
    this.#finished = callback;
    this.#carrier.end(this.state);
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.#carrier.release(this, error !== null || this.state.sending === "open");
    callback(error);
    const drained = this.#drained; // Whoever waits for a write to go out must hear that it never will.
    this.#drained = undefined;
    drained?.(error ?? new Error("the stream was closed before all that was written had gone out"));
  }

  /** What came and has not been read. */
  get #unread(): number {
    return this.readableLength + this.#inbox.size;
  }

  #setKept(size: number): void {
    const change = size - this.#kept;
    this.#kept = size;
    if (change !== 0) this.#carrier.keep(this.state, change);
  }

  /** What comes before `_read` is called again, in the next turn, waits in the inbox, where small pieces are joined. */
  #pushInbox(): void {
    this.#isWanted = false;
    for (let piece = this.#inbox.take(); piece; piece = this.#inbox.take()) if (!this.push(piece)) break;
    if (this.#hasEnded && this.#inbox.size === 0) this.push(null);
  }

  #report(): void {
    const taken = this.#received - this.#unread - this.#reported;
    if (taken <= 0) return;
    this.#reported += taken;
    if (this.#keepsTaken) this.#setKept(this.#kept + taken);
    this.#carrier.consume(this.state, taken);
  }
}
