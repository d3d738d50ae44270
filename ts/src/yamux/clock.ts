import { performance } from "node:perf_hooks";

/** The clock and timers of a mux. Tests replace them. */
export interface Clock {
  /** Returns milliseconds of a monotonic clock. */
  now(): number;
  /** Calls back after `delay` milliseconds. The function that it returns cancels the timer. */
  after(delay: number, call: () => void): () => void;
}

/** The system clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delay, call) {
    const timer = setTimeout(call, delay);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
