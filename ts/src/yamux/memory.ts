/**
 * Bounds the bytes from the peer that one session holds.
 *
 * Credit bounds what one stream holds. It does not bound a session: each stream may send its first window unasked, and a
 * reader that collects a body gives credit for what it keeps. So every byte that is kept for later is counted here.
 *
 * From three quarters of the limit on, memory is tight. A stream of which something is kept then gets no more credit,
 * except a few at a time, so that these at least become complete and give back what they hold. At the limit, a stream
 * that needs more is reset.
 */

import type { StreamState } from "./state.js";

/** Bytes that each stream of the peer counts for. */
export const STREAM_COST = 4096;

/** Streams that get credit while memory is tight. */
const LANES = 4;

export class SessionMemory {
  /** The most bytes that may be held. It may be changed at any time. */
  limit: number;
  #held = 0;
  /** Streams from which credit is withheld, in the order in which they asked for it. */
  readonly #stalled = new Set<StreamState>();
  readonly #lanes = new Set<StreamState>();

  constructor(limit: number) {
    this.limit = limit;
  }

  get held(): number {
    return this.#held;
  }

  get isTight(): boolean {
    return this.#held * 4 > this.limit * 3;
  }

  /** Describes why a stream that exceeds the limit is reset. */
  get rule(): string {
    return `the link holds ${this.#held} bytes that nobody has taken, and may hold ${this.limit}`;
  }

  get hasStalled(): boolean {
    return this.#stalled.size > 0;
  }

  /** Adds to, or subtracts from, the bytes of a stream; returns false if that exceeds the limit. */
  count(stream: StreamState, change: number): boolean {
    stream.held += change;
    this.#held += change;
    return change <= 0 || this.#held <= this.limit;
  }

  /** Whether a stream may get credit now. If not, `nextForCredit` returns it once it may. */
  mayCredit(stream: StreamState): boolean {
    if (!this.isTight || !needsRoom(stream) || this.#lanes.has(stream)) return true;
    this.#clearLanes();
    if (this.#lanes.size < LANES && this.#stalled.size === 0) {
      this.#lanes.add(stream);
      return true;
    }
    this.#stalled.add(stream);
    return false;
  }

  /** Removes and returns the streams whose withheld credit may be sent. */
  nextForCredit(): StreamState[] {
    if (!this.isTight) this.#lanes.clear();
    else this.#clearLanes();
    const chosen: StreamState[] = [];
    for (const stream of this.#stalled) {
      if (this.isTight && this.#lanes.size >= LANES) break;
      this.#stalled.delete(stream);
      if (this.isTight && needsRoom(stream)) this.#lanes.add(stream);
      chosen.push(stream);
    }
    return chosen;
  }

  /** Forgets the bytes of a stream. */
  forget(stream: StreamState): void {
    this.#held -= stream.held;
    stream.held = 0;
    this.#stalled.delete(stream);
    this.#lanes.delete(stream);
  }

  #clearLanes(): void {
    for (const stream of this.#lanes) if (!needsRoom(stream)) this.#lanes.delete(stream);
  }
}

/** Whether a stream adds to what is kept when it gets credit, and gives it back when it is complete. */
function needsRoom(stream: StreamState): boolean {
  return stream.held > STREAM_COST && stream.receiving === "open";
}
