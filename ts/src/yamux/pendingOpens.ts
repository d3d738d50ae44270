import type { StreamState } from "./state.js";

/**
 * Our streams that the peer has not accepted. The peer's accept backlog bounds how many may be under way; a stream above
 * that is held back as a whole and sent when another has been accepted. So opening a stream never waits, and the peer
 * never has to refuse one.
 */
export class PendingOpens {
  readonly #send: (stream: StreamState) => void;
  #free: number;
  readonly #held = new Set<StreamState>();

  /**
   * @param limit the number of streams that may be under way.
   * @param send is called with a stream whose SYN may go out.
   */
  constructor(limit: number, send: (stream: StreamState) => void) {
    this.#free = limit;
    this.#send = send;
  }

  add(stream: StreamState): void {
    if (this.#free === 0) {
      this.#held.add(stream);
    } else {
      this.#free -= 1;
      this.#send(stream);
    }
  }

  /** Removes a stream that was accepted or has ended. */
  remove(stream: StreamState): void {
    if (this.#held.delete(stream)) return;
    this.#free += 1;
    for (const next of this.#held) {
      this.#held.delete(next);
      return this.add(next);
    }
  }
}
