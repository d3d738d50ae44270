/** What tests of the mux share: frames, a clock, and a peer that does as a test likes. */

import type { Duplex } from "node:stream";
import { encodeHeader, Flag, FrameType } from "../src/yamux/frame.js";
import { type Clock, type Config, Mux } from "../src/yamux/index.js";
import { connectionPair } from "../src/memoryConnection.js";

export const WINDOW = 262_144;
export const frame = (type: number, flags: number, id: number, length: number): Buffer =>
  encodeHeader(type, flags, id, length);
export const syn = (id: number): Buffer => frame(FrameType.windowUpdate, Flag.syn, id, 0);
export const data = (id: number, flags: number, body: Buffer): Buffer =>
  Buffer.concat([frame(FrameType.data, flags, id, body.length), body]);

/** Time that passes only when a test says so. */
export class FakeClock implements Clock {
  #now = 0;
  #timers = new Set<{ at: number; call: () => void }>();

  /** How many timers are running. */
  get running(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  after(delay: number, call: () => void): () => void {
    const timer = { at: this.#now + delay, call };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  async pass(delay: number): Promise<void> {
    const until = this.#now + delay;
    for (;;) {
      const next = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.call();
      await turns();
    }
    this.#now = until;
    await turns();
  }
}

/** Lets the event loop turn until what has been started has settled. */
export async function turns(count = 8): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise(setImmediate);
}

/** A mux in the role of the server, and the bare connection of a client that does as a test likes. */
export function bare(config: Partial<Config> = {}, clock?: Clock): { mux: Mux; peer: Duplex; sent: () => Buffer } {
  const [near, far] = connectionPair();
  const mux = new Mux({ role: "server", input: near, output: near, config, ...(clock && { clock }) });
  const chunks: Buffer[] = [];
  far.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { mux, peer: far, sent: () => Buffer.concat(chunks) };
}
