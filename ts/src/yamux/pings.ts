import { SessionTimeout } from "../errors.js";
import type { Clock } from "./clock.js";
import { MAX_UINT32 } from "./frame.js";

/** The pings that have not been answered, by the value that their answer repeats. */
export class Pings {
  #next = 0;
  readonly #asked = new Map<number, number>();
  /** The one that was sent for the round trip alone. */
  #measuring: number | undefined;

  ask(now: number): number {
    const value = this.#next;
    this.#next = (value + 1) % (MAX_UINT32 + 1);
    this.#asked.set(value, now);
    return value;
  }

  /** A ping for the round trip alone, of which nobody is told; undefined while there is one under way. */
  measure(now: number): number | undefined {
    if (this.#measuring !== undefined) return undefined;
    return (this.#measuring = this.ask(now));
  }

  /** The round trip of a ping that is answered now, and whether somebody asked for it; undefined where it is not known. */
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

/** Those who wait for the answers to pings. */
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
