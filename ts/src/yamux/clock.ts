import { performance } from "node:perf_hooks";

/** The time and the timers of a mux, so that tests can put their own in place. */
export interface Clock {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Calls back after `delay` milliseconds, unless the function that it returns is called before. */
  after(delay: number, call: () => void): () => void;
}

/** The clock of the machine. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delay, call) {
    const timer = setTimeout(call, delay);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
