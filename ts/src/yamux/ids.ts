import { MAX_UINT32 } from "./frame.js";

/** How many ids that one SYN passes over are remembered; peers have their backlog's worth of SYNs under way, 256. */
const MAX_PASSED_OVER = 1024;

/** How many runs of ids that were passed over are remembered. */
const MAX_GAPS = 1024;

/**
 * Which stream ids the peer has used. They rise, but peers that open streams from several threads put their SYNs out in
 * another order, so an id that was passed over may come a little late; any other id up to the highest cannot come again.
 */
export class PeerIds {
  readonly #parity: number;
  #highest: number;
  /** Runs of ids that were passed over, both ends included, the oldest first. */
  readonly #gaps: [from: number, to: number][] = [];

  constructor(first: 1 | 2) {
    this.#parity = first % 2;
    this.#highest = first - 2;
  }

  /** Whether an id is one of these at all. */
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
