import type { Clock } from "./clock.js";
import type { Config } from "./config.js";
import type { StreamState } from "./state.js";

/** At most one running timer for each stream. */
export class StreamTimers {
  readonly #clock: Clock;
  readonly #stops = new Map<StreamState, () => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts a timer in place of the previous one; with a delay of 0 there is none. */
  set(state: StreamState, delay: number, call: () => void): void {
    this.clear(state);
    if (delay === 0) return;
    const stop = this.#clock.after(delay, () => {
      this.#stops.delete(state);
      call();
    });
    this.#stops.set(state, stop);
  }

  clear(state: StreamState): void {
    this.#stops.get(state)?.();
    this.#stops.delete(state);
  }

  clearAll(): void {
    for (const stop of this.#stops.values()) stop();
    this.#stops.clear();
  }
}

/**
 * The keepalive: it pings a silent peer, and reports it as lost if it stays silent. Any byte counts as a sign of life,
 * also one that arrived while this process was busy.
 */
export class KeepAlive {
  readonly #clock: Clock;
  readonly #config: Config;
  readonly #ping: () => void;
  readonly #lost: (silence: number) => void;
  #lastHeard: number;
  #stop: (() => void) | undefined;

  constructor(clock: Clock, config: Config, ping: () => void, lost: (silence: number) => void) {
    this.#clock = clock;
    this.#config = config;
    this.#ping = ping;
    this.#lost = lost;
    this.#lastHeard = clock.now();
    if (config.enableKeepAlive) this.#watch(config.keepAliveInterval);
  }

  heard(): void {
    this.#lastHeard = this.#clock.now();
  }

  /** Calls back once the peer has been silent for some time. The function that it returns cancels that. */
  onSilence(limit: number, call: () => void): () => void {
    let stop: () => void;
    const wait = (delay: number): void => {
      stop = this.#clock.after(delay, () => (this.silence < limit ? wait(limit - this.silence) : call()));
    };
    wait(limit);
    return () => stop();
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  get silence(): number {
    return this.#clock.now() - this.#lastHeard;
  }

  #watch(delay: number): void {
    this.#stop = this.#clock.after(delay, () => {
      const { keepAliveInterval, connectionWriteTimeout } = this.#config;
      const rest = keepAliveInterval - this.silence;
      if (rest > 0) return this.#watch(rest);
      const asked = this.#lastHeard;
      this.#ping();
      if (connectionWriteTimeout === 0) return this.#watch(keepAliveInterval); // No silence ends the session.
      // What came while the process was busy is read before an immediate is called.
      this.#stop = this.#clock.after(connectionWriteTimeout, () => setImmediate(() => this.#judge(asked)));
    });
  }

  #judge(asked: number): void {
    if (!this.#stop) return;
    if (this.#lastHeard > asked) this.#watch(this.#config.keepAliveInterval);
    else this.#lost(this.silence);
  }
}
