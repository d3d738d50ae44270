/** Limits of what a peer may do that costs it nothing: streams that it resets, and frames that change nothing. */

import { ProtocolViolation } from "../errors.js";
import { FrameType, type Header } from "./frame.js";

/** Streams that the peer opens and resets: as many at once, and as many each second. HTTP/2 servers have such a limit. */
const RESETS = { burst: 10_000, perSecond: 1_000 };

/** Frames that change nothing: pings, credit of a few bytes, empty data, frames on streams that have ended. */
const IDLE_FRAMES = { burst: 100_000, perSecond: 10_000 };

/** Credit below this is worth no frame: peers give it when half a window has been read. */
const SMALL_CREDIT = 1024;

/** Whether a frame without flags changes nothing, or next to nothing. */
export function isIdle({ type, length }: Header): boolean {
  return type === FrameType.data ? length === 0 : length < SMALL_CREDIT;
}

/** A bucket that is emptied one by one, and filled with time. */
class Bucket {
  readonly #burst: number;
  readonly #perMillisecond: number;
  #left: number;
  #filledAt = 0;

  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = this.#left = burst;
    this.#perMillisecond = perSecond / 1000;
  }

  /** Takes one out; false when there is none left. */
  take(now: number): boolean {
    if (this.#left < 1) {
      this.#left = Math.min(this.#burst, this.#left + (now - this.#filledAt) * this.#perMillisecond);
      this.#filledAt = now;
    } else if (this.#left === this.#burst) {
      this.#filledAt = now;
    }
    this.#left -= 1;
    return this.#left >= 0;
  }
}

export class FloodLimits {
  readonly #resets = new Bucket(RESETS);
  readonly #idleFrames = new Bucket(IDLE_FRAMES);

  /** Counts a stream that the peer opened and has reset; throws when there are too many. */
  reset(now: number): void {
    if (this.#resets.take(now)) return;
    throw new ProtocolViolation(`the peer resets its streams more often than ${RESETS.perSecond} times a second`);
  }

  /** Counts a frame that changes nothing; throws when there are too many. */
  idleFrame(now: number): void {
    if (this.#idleFrames.take(now)) return;
    throw new ProtocolViolation(
      `the peer sends more than ${IDLE_FRAMES.perSecond} frames a second that change nothing`,
    );
  }
}
