import type { Config } from "./config.js";
import { Flag, FrameType, type Header, INITIAL_WINDOW, violation } from "./frame.js";
import { PeerIds } from "./ids.js";
import { type SessionMemory, STREAM_COST } from "./memory.js";
import { StreamState } from "./state.js";

/** The streams that the peer opens: their ids, and how many there may be. */
export class PeerStreams {
  readonly ids: PeerIds;
  /** How many may be open at once. */
  limit: number;
  readonly #backlog: number;
  readonly #memory: SessionMemory;
  #open = 0;
  #unaccepted = 0;

  constructor(first: 1 | 2, config: Config, memory: SessionMemory) {
    this.ids = new PeerIds(first);
    this.limit = config.maxStreams;
    this.#backlog = config.acceptBacklog;
    this.#memory = memory;
  }

  /** Records the id of a SYN. It throws if the id breaks a rule. */
  takeId(header: Header): void {
    const { type, streamId, length } = header;
    if (!this.ids.owns(streamId)) throw violation(header, "the id is not one of the peer's");
    if (this.ids.isUsed(streamId)) throw violation(header, "the id has been used");
    this.ids.use(streamId);
    if (type === FrameType.data && length > INITIAL_WINDOW) {
      throw violation(header, `the window of a new stream has ${INITIAL_WINDOW} bytes`);
    }
  }

  /** Makes the stream of a SYN; undefined if there are too many, or if the same frame resets it. */
  add({ streamId, flags }: Header, now: number): StreamState | undefined {
    if (flags & Flag.rst || this.#unaccepted >= this.#backlog || this.#open >= this.limit) return undefined;
    const stream = new StreamState(streamId, "offered", now);
    if (!this.#memory.count(stream, STREAM_COST)) {
      this.#memory.forget(stream);
      return undefined;
    }
    this.#open += 1;
    this.#unaccepted += 1;
    return stream;
  }

  accepted(): void {
    this.#unaccepted -= 1;
  }

  forget(stream: StreamState): void {
    if (!this.ids.owns(stream.id)) return;
    this.#open -= 1;
    if (stream.handshake === "offered") this.#unaccepted -= 1;
  }
}
