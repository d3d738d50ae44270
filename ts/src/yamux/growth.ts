import type { Config } from "./config.js";
import { INITIAL_WINDOW } from "./frame.js";
import type { StreamState } from "./state.js";

/** Bytes that a reader takes at most until its peer is credited: with half of a large window, too little is under way. */
const MAX_CREDIT_STEP = 1024 * 1024;

/** Bytes up to which the window of a stream grows of which the program has taken little. */
const UNREAD_WINDOW = 4 * 1024 * 1024;

/** Milliseconds from which on a stream begins with a large window: that saves a round trip, and costs a frame. */
const LONG_ROUND_TRIP = 2;

/**
 * Decides how far the receive windows of a session grow.
 *
 * A sender that has used up its window waits a round trip for credit. Credit goes back each time half a window has been
 * read, or `MAX_CREDIT_STEP`; where more than half a window is read in two round trips it is the window that limits the
 * stream, and it grows. A reader that does not keep up never gets more than it began with, and all windows together
 * never grow by more than one bound.
 *
 * What has been credited may still be kept, such as the body of an unfinished message: then the window doubles, up to
 * `UNREAD_WINDOW`. Where the program has taken a quarter of a window's size, it becomes four times as large, or at once
 * what another stream of the session has needed, up to the configured maximum.
 *
 * Where the round trip is long, a new stream begins with the window that another has needed. All such streams together get
 * a quarter of the session's growth, since many of them will need none.
 */
export class WindowGrowth {
  /** The shortest round trip measured, in milliseconds; until there is one, windows stay as they are. */
  roundTrip: number | undefined;
  readonly #maximum: number;
  /** What windows beyond `UNREAD_WINDOW` leave to others. */
  readonly #bulk: number;
  /** What windows that begin large leave to others. */
  readonly #reserved: number;
  readonly #initial: number;
  #left: number;
  #largest = 0;

  constructor(config: Config) {
    this.#maximum = config.maxStreamWindowSize;
    this.#left = config.maxSessionWindowGrowth;
    this.#bulk = Math.floor(this.#left / 2);
    this.#reserved = Math.floor(this.#left / 4) * 3;
    this.#initial = config.streamWindowSize;
  }

  /** Whether so much has been read of a stream that the peer is to be credited for it. */
  static isCreditDue({ consumed, window }: StreamState): boolean {
    return consumed >= Math.min(window / 2, MAX_CREDIT_STEP);
  }

  mayGrow(size: number): boolean {
    return size < this.#maximum && this.#left > 0;
  }

  measured(roundTrip: number): void {
    this.roundTrip = Math.min(roundTrip, this.roundTrip ?? roundTrip);
  }

  /**
   * Refills the window of a stream by what has been read, and returns the credit for the peer.
   *
   * @param mayGrow whether there is memory for a larger window.
   */
  credit(stream: StreamState, now: number, mayGrow = true): number {
    const before = stream.window;
    stream.credited += stream.consumed;
    const elapsed = now - stream.creditedAt;
    const limits = this.roundTrip !== undefined && elapsed * stream.window < 4 * this.roundTrip * stream.consumed;
    if (mayGrow && limits) this.#grow(stream);
    const credit = stream.consumed + stream.window - before;
    stream.receiveWindow += credit;
    stream.consumed = 0;
    stream.creditedAt = now;
    return credit;
  }

  /** Gives a new stream its first window. */
  begin(stream: StreamState, mayGrow = true): void {
    let wanted = this.#initial;
    if (mayGrow && this.roundTrip !== undefined && this.roundTrip >= LONG_ROUND_TRIP) {
      wanted = Math.max(wanted, Math.min(this.#largest, INITIAL_WINDOW + this.#left - this.#reserved));
    }
    stream.window = this.#take(INITIAL_WINDOW, wanted);
  }

  #grow(stream: StreamState): void {
    if (4 * (stream.credited - stream.held) >= stream.window) {
      stream.window = this.#take(stream.window, Math.max(4 * stream.window, this.#largest));
      this.#largest = Math.max(this.#largest, stream.window);
    } else {
      stream.window = this.#take(stream.window, Math.min(2 * stream.window, UNREAD_WINDOW));
    }
  }

  /** Returns the size to which a window of `size` may grow, at most `wanted`. */
  #take(size: number, wanted: number): number {
    let grown = Math.min(wanted, this.#maximum, size + this.#left);
    if (grown > UNREAD_WINDOW) grown = Math.max(Math.min(grown, size + this.#left - this.#bulk), UNREAD_WINDOW);
    if (grown <= size) return size;
    this.#left -= grown - size;
    return grown;
  }

  giveBack(growth: number): void {
    this.#left += growth;
  }
}
