/** Limits on what a peer may do that costs work here and achieves nothing. */

import { ProtocolViolation } from "../errors.js";
import type { Config } from "./config.js";
import { FrameType, type Header } from "./frame.js";
import type { PeerIds } from "./ids.js";
import type { StreamState } from "./state.js";

/** Seconds' worth of events that may come at once: a program that cancels all its calls is no attack. */
export const BURST_SECONDS = 10;

/** Age, in milliseconds, below which a stream that the peer resets counts as opened for nothing. */
export const YOUNG = 1_000;

/** Frames that a peer may send on a stream before it learns that the stream was reset here. */
export const LATE_FRAMES = 32;

/** Whether a frame of an open stream changes nothing. */
export function isIdle({ type, flags, length }: Header): boolean {
  return flags === 0 && length === 0 && (type === FrameType.data || type === FrameType.windowUpdate);
}

/** Counts events against a number per second, of which `BURST_SECONDS`' worth may come at once; 0 means no limit. */
class RateLimit {
  readonly #burst: number;
  readonly #perMillisecond: number;
  #left: number;
  #filledAt = Number.NaN;

  constructor(perSecond: number) {
    this.#burst = this.#left = perSecond === 0 ? Number.POSITIVE_INFINITY : perSecond * BURST_SECONDS;
    this.#perMillisecond = perSecond / 1000;
  }

  /** Counts one event; false when it is one too many. */
  take(now: number): boolean {
    if (Number.isNaN(this.#filledAt)) this.#filledAt = now;
    this.#left -= 1;
    if (this.#left >= 0) return true;
    this.#left += Math.min((now - this.#filledAt) * this.#perMillisecond, this.#burst);
    this.#filledAt = now;
    return this.#left >= 0;
  }

  /** Subtracts events that are not the peer's fault. */
  allow(events: number): void {
    this.#left = Math.min(this.#left + events, this.#burst);
  }
}

/** Counts the useless events that the peer of one session causes. */
export class FloodLimits {
  readonly #config: Config;
  readonly #ids: PeerIds;
  readonly #resets: RateLimit;
  readonly #idleFrames: RateLimit;

  /** @param ids tells which streams are the peer's. */
  constructor(config: Config, ids: PeerIds) {
    this.#config = config;
    this.#ids = ids;
    this.#resets = new RateLimit(config.maxResets);
    this.#idleFrames = new RateLimit(config.maxIdleFrames);
  }

  /** Counts a stream that the peer has reset soon after it had opened it. */
  streamReset(stream: StreamState, now: number): void {
    if (this.#ids.owns(stream.id) && now - stream.creditedAt < YOUNG) this.uselessStream(now);
  }

  /** Counts a stream that the peer has half-closed without having sent a byte. */
  streamEnded(stream: StreamState, now: number): void {
    if (this.#ids.owns(stream.id) && stream.receiveWindow === stream.window) this.uselessStream(now);
  }

  /**
   * Counts a stream that the peer opened for nothing, or may not open.
   *
   * @throws ProtocolViolation when there are too many.
   */
  uselessStream(now: number): void {
    if (this.#resets.take(now)) return;
    throw new ProtocolViolation(
      `the peer goes on opening more than ${this.#config.maxResets} streams a second that it resets at once, ends empty, or may not have`,
    );
  }

  /**
   * Counts a frame that changes nothing.
   *
   * @throws ProtocolViolation when there are too many.
   */
  idleFrame(now: number): void {
    if (this.#idleFrames.take(now)) return;
    throw new ProtocolViolation(
      `the peer goes on sending more than ${this.#config.maxIdleFrames} frames a second that change nothing`,
    );
  }

  /** Subtracts the frames that may still arrive on a stream that was reset here. */
  resetHere(): void {
    this.#idleFrames.allow(LATE_FRAMES);
  }
}
