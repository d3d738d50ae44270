import type { Config } from "./config.js";
import { INITIAL_WINDOW } from "./frame.js";
import { WindowGrowth } from "./growth.js";
import { SessionMemory } from "./memory.js";
import type { StreamState } from "./state.js";

/**
 * When the peer gets credit: for what the reader has taken, once it is worth a frame, and as far as there is memory for
 * what the credit brings.
 */
export class Credits {
  readonly memory: SessionMemory;
  readonly growth: WindowGrowth;
  readonly #give: (stream: StreamState) => void;

  /** @param give is called with a stream that is due to get what `take` gives. */
  constructor(config: Config, give: (stream: StreamState) => void) {
    this.memory = new SessionMemory(config.maxLinkMemory);
    this.growth = new WindowGrowth(config);
    this.#give = give;
  }

  /** The reader has taken bytes. */
  consume(stream: StreamState, size: number): void {
    this.memory.count(stream, -size);
    stream.consumed += size;
    this.giveWhenDue(stream);
    this.#giveStalled();
  }

  /** More or fewer bytes are kept of what the reader has taken; false when they pass the limit. */
  keep(stream: StreamState, change: number): boolean {
    const hasRoom = this.memory.count(stream, change);
    this.#giveStalled();
    return hasRoom;
  }

  /** A stream that has not been accepted gets its credit when it is. */
  giveWhenDue(stream: StreamState): void {
    if (stream.consumed * 2 < stream.window || stream.receiving !== "open" || stream.handshake === "offered") return;
    if (this.memory.mayCredit(stream)) this.#give(stream);
  }

  /** The credit that a stream is due; its window is filled up with it. */
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
