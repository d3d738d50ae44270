import type { Config } from "./config.js";
import type { StreamState } from "./state.js";

/**
 * Decides how far the receive windows of a session grow.
 *
 * A sender that has used up its window waits a round trip for credit. Credit goes back each time half a window has been
 * read; where two such halves follow one another within two round trips it is the window that limits the stream, and
 * it is doubled. A reader that does not keep up never gets more than it began with, and all windows together never grow
 * by more than one bound.
 */
export class WindowGrowth {
  /** The shortest round trip measured, in milliseconds; until there is one, windows stay as they are. */
  roundTrip: number | undefined;
  readonly #largest: number;
  #left: number;

  constructor(config: Config) {
    this.#largest = config.maxStreamWindowSize;
    this.#left = config.maxSessionWindowGrowth;
  }

  mayGrow(size: number): boolean {
    return size < this.#largest && this.#left > 0;
  }

  measured(roundTrip: number): void {
    this.roundTrip = Math.min(roundTrip, this.roundTrip ?? roundTrip);
  }

  /**
   * Refills the window of a stream after half of it has been read, and returns the credit for the peer.
   *
   * @param mayGrow whether there is memory for a larger window.
   */
  credit(stream: StreamState, now: number, mayGrow = true): number {
    const before = stream.window;
    const isLimiting = mayGrow && this.roundTrip !== undefined && now - stream.creditedAt < 2 * this.roundTrip;
    if (isLimiting) stream.window = this.take(before, 2 * before);
    const credit = stream.consumed + stream.window - before;
    stream.receiveWindow += credit;
    stream.consumed = 0;
    stream.creditedAt = now;
    return credit;
  }

  /** Returns the size to which a window of `size` may grow, at most `wanted`. */
  take(size: number, wanted: number): number {
    const grown = Math.min(wanted, this.#largest, size + this.#left);
    if (grown <= size) return size;
    this.#left -= grown - size;
    return grown;
  }

  giveBack(growth: number): void {
    this.#left += growth;
  }
}
