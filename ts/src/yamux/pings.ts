import { SessionTimeout } from "../errors.js";
import type { Clock } from "./clock.js";
import { MAX_UINT32 } from "./frame.js";

/** The pings that have not been answered, by the value that their answer repeats. */
export class Pings {
  #next = 0;
  readonly #asked = new Map<number, number>();
  /** The ping that was sent only to measure the round trip. */
  #measuring: number | undefined;

  ask(now: number): number {
    const value = this.#next;
    this.#next = (value + 1) % (MAX_UINT32 + 1);
    this.#asked.set(value, now);
    return value;
  }

  /** Makes a ping that only measures the round trip; undefined while another one is under way. */
  measure(now: number): number | undefined {
    if (this.#measuring !== undefined) return undefined;
    return (this.#measuring = this.ask(now));
  }

  /** Returns the round trip of a ping that has just been answered, and whether a caller waits for it; undefined for an unknown ping. */
  answer(value: number, now: number): { readonly roundTrip: number; readonly isAskedFor: boolean } | undefined {
    const asked = this.#asked.get(value);
    if (asked === undefined) return undefined;
    this.#asked.delete(value);
    const isAskedFor = value !== this.#measuring;
    if (!isAskedFor) this.#measuring = undefined;
    return { roundTrip: now - asked, isAskedFor };
  }

  forget(value: number): void {
    this.#asked.delete(value);
  }
}

interface Waiter {
  readonly answered: (roundTrip: number) => void;
  readonly failed: (error: Error) => void;
  readonly stop: () => void;
}

/** The callers that wait for answers to pings. */
export class PingWaiters {
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #waiters = new Map<number, Waiter>();

  /** @param timeout milliseconds that an answer may take. */
  constructor(clock: Clock, timeout: number) {
    this.#clock = clock;
    this.#timeout = timeout;
  }

  /** Waits for the answer to a ping; `late` is called when it does not come in time. */
  wait(value: number, late: () => void): Promise<number> {
    return new Promise((answered, failed) => {
      const stop = this.#clock.after(this.#timeout, () => {
        this.#waiters.delete(value);
        late();
        failed(new SessionTimeout("the peer did not answer a ping in time"));
      });
      this.#waiters.set(value, { answered, failed, stop });
    });
  }

  answered(value: number, roundTrip: number): void {
    const waiter = this.#waiters.get(value);
    this.#waiters.delete(value);
    waiter?.stop();
    waiter?.answered(roundTrip);
  }

  fail(error: Error): void {
    for (const { stop, failed } of this.#waiters.values()) {
      stop();
      failed(error);
    }
    this.#waiters.clear();
  }
}
