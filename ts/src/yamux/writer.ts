import { Socket } from "node:net";
import type { Writable } from "node:stream";
import type { Clock } from "./clock.js";

/** Batches up to this size are copied together and written as one. */
const SMALL_BATCH = 16 * 1024;

/** The callbacks of a writer. */
export interface WriterEvents {
  /** The connection has taken the last batch. */
  written(): void;
  /** The connection has not taken the last batch in time. */
  stuck(): void;
  /** The connection accepts no more data; it may still be readable. */
  broken(error: Error): void;
}

/** Writes batches to a connection, one at a time. */
export class ConnectionWriter {
  readonly #output: Writable;
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #events: WriterEvents;
  #batch = 0;
  #isBusy = false;
  #isBroken = false;
  #stopTimer: (() => void) | undefined;

  /** @param timeout milliseconds that a batch may take; 0 for no limit. */
  constructor(output: Writable, clock: Clock, timeout: number, events: WriterEvents) {
    this.#output = output;
    this.#clock = clock;
    this.#timeout = timeout;
    this.#events = events;
    if (output instanceof Socket) this.#keepReading(output);
  }

  /** Whether the last batch has not been taken yet. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  write(chunks: Uint8Array[]): void {
    const batch = ++this.#batch;
    const written = (): void => {
      if (batch === this.#batch && this.#isBusy) this.#written();
    };
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (chunks.length === 1 || size <= SMALL_BATCH) {
      this.#output.write(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, size), written);
    } else {
      this.#output.cork();
      for (const [index, chunk] of chunks.entries()) {
        this.#output.write(chunk, index === chunks.length - 1 ? written : undefined);
      }
      this.#output.uncork();
    }
    if (this.#output.writableLength === 0) return;
    this.#isBusy = true;
    if (this.#timeout > 0) this.#stopTimer = this.#clock.after(this.#timeout, () => this.#events.stuck());
  }

  /** Stops the time limit, because the session has ended. */
  stop(): void {
    this.#stopTimer?.();
  }

  #written(): void {
    this.#isBusy = false;
    this.#stopTimer?.();
    this.#events.written();
  }

  /**
   * Keeps a socket from being destroyed when a write fails, because bytes that the peer wrote before it closed its end
   * would be lost with it. What is written behind the failure is dropped.
   */
  #keepReading(socket: Socket): void {
    const { _write: write, _writev: writev } = socket;
    const failed = (error: Error): void => {
      if (this.#isBroken) return;
      this.#isBroken = true;
      this.#events.broken(error);
    };
    const tolerant =
      (callback: (error?: Error | null) => void) =>
      (error?: Error | null): void => {
        if (error) failed(error);
        callback();
      };
    socket._write = (chunk, encoding, callback) => {
      if (this.#isBroken) callback();
      else write.call(socket, chunk, encoding, tolerant(callback));
    };
    if (!writev) return;
    socket._writev = (chunks, callback) => {
      if (this.#isBroken) callback();
      else writev.call(socket, chunks, tolerant(callback));
    };
  }
}
