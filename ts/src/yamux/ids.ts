import { MAX_UINT32 } from "./frame.js";

/** How many ids that one SYN skips are remembered; peers have at most a backlog of SYNs under way, 256. */
const MAX_PASSED_OVER = 1024;

/** How many ranges of skipped ids are remembered. */
const MAX_GAPS = 1024;

/**
 * Tracks the stream ids that the peer has used. Ids ascend, but a peer that opens streams from several threads may send
 * its SYNs slightly out of order. So a skipped id may still arrive; every other id up to the highest is spent.
 */
export class PeerIds {
  readonly #parity: number;
  #highest: number;
  /** Ranges of skipped ids, both ends included, oldest first. */
  readonly #gaps: [from: number, to: number][] = [];

  constructor(first: 1 | 2) {
    this.#parity = first % 2;
    this.#highest = first - 2;
  }

  /** Whether an id belongs to the peer: whether it is odd or even as the peer's ids are. */
  owns(id: number): boolean {
    return id % 2 === this.#parity && id > 0 && id <= MAX_UINT32;
  }

  isUsed(id: number): boolean {
    return id <= this.#highest && !this.#gaps.some(([from, to]) => from <= id && id <= to);
  }

  use(id: number): void {
    if (id < this.#highest) return this.#useLate(id);
    const next = this.#highest + 2;
    if (id > next) this.#gaps.push([Math.max(next, id - 2 * MAX_PASSED_OVER), id - 2]);
    if (this.#gaps.length > MAX_GAPS) this.#gaps.shift();
    this.#highest = id;
  }

  #useLate(id: number): void {
    const index = this.#gaps.findIndex(([from, to]) => from <= id && id <= to);
    const gap = this.#gaps[index];
    if (!gap) return;
    const [from, to] = gap;
    const rest: [number, number][] = [];
    if (from < id) rest.push([from, id - 2]);
    if (id < to) rest.push([id + 2, to]);
    this.#gaps.splice(index, 1, ...rest);
  }
}
