import type { Config } from "./config.js";
import { INITIAL_WINDOW } from "./frame.js";
import { WindowGrowth } from "./growth.js";
import { SessionMemory } from "./memory.js";
import type { StreamState } from "./state.js";

/**
 * Decides when to send credit to the peer: when the reader has consumed enough to be worth a frame, and the session has
 * memory for what the peer may send in return.
 */
export class Credits {
  readonly memory: SessionMemory;
  readonly growth: WindowGrowth;
  readonly #give: (stream: StreamState) => void;

  /** @param give is called with a stream for which credit is due; `take` returns how much. */
  constructor(config: Config, give: (stream: StreamState) => void) {
    this.memory = new SessionMemory(config.maxLinkMemory);
    this.growth = new WindowGrowth(config);
    this.#give = give;
  }

  /** Gives a new stream its first window. */
  begin(stream: StreamState): void {
    this.growth.begin(stream, !this.memory.isTight);
  }

  /** Records that the reader has consumed bytes. */
  consume(stream: StreamState, size: number): void {
    this.memory.count(stream, -size);
    stream.consumed += size;
    this.giveWhenDue(stream);
    this.#giveStalled();
  }

  /** Records that more or fewer consumed bytes are still held; returns false if that exceeds the limit. */
  keep(stream: StreamState, change: number): boolean {
    const hasRoom = this.memory.count(stream, change);
    this.#giveStalled();
    return hasRoom;
  }

  /** A stream that has not been accepted gets its credit on acceptance. */
  giveWhenDue(stream: StreamState): void {
    if (!WindowGrowth.isCreditDue(stream) || stream.receiving !== "open" || stream.handshake === "offered") return;
    if (this.memory.mayCredit(stream)) this.#give(stream);
  }

  /** Returns the credit that is due for a stream, and refills its window by it. */
  take(stream: StreamState, now: number): number {
    return this.growth.credit(stream, now, !this.memory.isTight);
  }

  forget(stream: StreamState): void {
    this.growth.giveBack(stream.window - INITIAL_WINDOW);
    this.memory.forget(stream);
    this.#giveStalled();
  }

  #giveStalled(): void {
    if (!this.memory.hasStalled) return;
    for (const stream of this.memory.nextForCredit()) if (stream.receiving === "open") this.#give(stream);
  }
}
