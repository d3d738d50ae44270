import { MAX_UINT32 } from "./frame.js";

/** The pings that have not been answered, by the value that their answer repeats. */
export class Pings {
  #next = 0;
  readonly #asked = new Map<number, number>();

  ask(now: number): number {
    const value = this.#next;
    this.#next = (value + 1) % (MAX_UINT32 + 1);
    this.#asked.set(value, now);
    return value;
  }

  /** The round trip of a ping that is answered now; undefined when nobody waits for it. */
  answer(value: number, now: number): number | undefined {
    const asked = this.#asked.get(value);
    this.#asked.delete(value);
    return asked === undefined ? undefined : now - asked;
  }

  forget(value: number): void {
    this.#asked.delete(value);
  }
}
