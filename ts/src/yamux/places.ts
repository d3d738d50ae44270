import type { StreamState } from "./state.js";

/**
 * The places that our streams take in the peer's accept backlog until it accepts them. A stream that finds none is held
 * back, all of it, and placed in its turn; so an opener never waits, and the peer never has to refuse.
 */
export class Places {
  readonly #place: (stream: StreamState) => void;
  #free: number;
  readonly #held = new Set<StreamState>();

  /** @param place is called with a stream that has got its place. */
  constructor(count: number, place: (stream: StreamState) => void) {
    this.#free = count;
    this.#place = place;
  }

  take(stream: StreamState): void {
    if (this.#free === 0) {
      this.#held.add(stream);
    } else {
      this.#free -= 1;
      this.#place(stream);
    }
  }

  /** Gives back the place of a stream, or takes it off those that wait for one. */
  leave(stream: StreamState): void {
    if (this.#held.delete(stream)) return;
    this.#free += 1;
    for (const next of this.#held) {
      this.#held.delete(next);
      return this.take(next);
    }
  }
}
