/** The exchange of the interop tests, as tests/interop/yamux/peer/exchange.go describes it: both of its sides. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import type { Mux, MuxStream } from "../src/yamux/index.js";

export const Mode = { plain: 0, halfClose: 1, reset: 2, abandon: 3 } as const;

type Mode = (typeof Mode)[keyof typeof Mode];

const HEADER_SIZE = 9;
const DIGEST_SIZE = 32;
const LARGEST = 9 * 1024 * 1024;
const WORDS = new Uint32Array(LARGEST / 4);
for (let index = 0; index < WORDS.length; index++) WORDS[index] = Math.imul(index, 2654435761);
const NOISE = Buffer.from(WORDS.buffer);

/** Numbers that are the same in each run. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** A whole number from 0 to `most`. */
  upTo(most: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % (most + 1);
  }
}

const noise = (seed: number, size: number): Buffer => {
  const start = seed % (LARGEST - size);
  return NOISE.subarray(start, start + size);
};

const digest = (data: Uint8Array): Buffer => createHash("sha256").update(data).digest();

/** A size whose mean is about half the average, sometimes zero and sometimes much larger. */
function drawSize(random: Random, average: number, largest: number): number {
  switch (random.upTo(7)) {
    case 0:
      return 0;
    case 1:
      return random.upTo(Math.min(largest, Math.floor(3 * average) + 1));
    default:
      return random.upTo(Math.min(largest, Math.floor(average / 2) + 1));
  }
}

/** Reads exact numbers of bytes from a stream. */
class Reader {
  readonly #stream: Duplex;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  async exactly(size: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = size;
    while (missing > 0) {
      const part = (this.#stream.read(Math.min(missing, this.#stream.readableLength)) as Buffer | null) ?? undefined;
      if (part) {
        parts.push(part);
        missing -= part.length;
      } else {
        await this.#more(missing);
      }
    }
    return Buffer.concat(parts, size);
  }

  async atEnd(): Promise<void> {
    while (!this.#stream.readableEnded) {
      const rest = this.#stream.read() as Buffer | null;
      if (rest) throw new Error(`${rest.length} bytes come behind the end`);
      if (this.#stream.readableEnded) return;
      await Promise.race([once(this.#stream, "end"), once(this.#stream, "readable")]);
    }
  }

  async #more(missing: number): Promise<void> {
    if (this.#stream.errored) throw this.#stream.errored;
    if (this.#stream.readableEnded || this.#stream.destroyed) throw new Error(`${missing} bytes are missing`);
    const cancel = new AbortController();
    const { signal } = cancel;
    try {
      await Promise.race(["readable", "end", "close"].map((event) => once(this.#stream, event, { signal })));
    } finally {
      cancel.abort();
    }
  }
}

async function write(stream: Duplex, data: Buffer): Promise<void> {
  for (let start = 0; start < data.length; start += 100_000) {
    if (stream.destroyed) return;
    if (!stream.write(data.subarray(start, start + 100_000))) {
      const cancel = new AbortController();
      const { signal } = cancel;
      await Promise.race([once(stream, "drain", { signal }), once(stream, "close", { signal })]).finally(() =>
        cancel.abort(),
      );
    }
  }
}

export async function call(mux: Mux, mode: Mode, requestSize: number, responseSize: number): Promise<void> {
  const stream = mux.open();
  stream.on("error", () => {}); // Reading tells of it.
  const reader = new Reader(stream);
  const header = Buffer.alloc(HEADER_SIZE);
  header.writeUInt8(mode);
  header.writeUInt32BE(requestSize, 1);
  header.writeUInt32BE(responseSize, 5);
  const request = noise(requestSize, requestSize);
  stream.write(header);
  await write(stream, request);
  if (mode === Mode.halfClose) stream.end();
  if (!digest(request).equals(await reader.exactly(DIGEST_SIZE))) throw new Error("the peer got another request");
  if (mode === Mode.abandon) {
    await reader.exactly(Math.floor(responseSize / 2));
    stream.destroy(new Error("abandoned"));
    return;
  }
  const response = await reader.exactly(responseSize);
  if (!digest(response).equals(await reader.exactly(DIGEST_SIZE))) throw new Error("the response is damaged");
  await reader.atEnd();
  stream.end();
}

/** Answers the exchanges that the peer opens. A reset by the opener is as good an end as any. */
export function serve(mux: Mux): void {
  mux.listen((stream) => {
    stream.on("error", () => {});
    answer(stream).catch(() => stream.destroy());
  });
}

async function answer(stream: MuxStream): Promise<void> {
  const reader = new Reader(stream);
  const header = await reader.exactly(HEADER_SIZE);
  const mode = header.readUInt8();
  const requestSize = header.readUInt32BE(1);
  const responseSize = header.readUInt32BE(5);
  if (mode === Mode.reset) {
    await reader.exactly(Math.floor(requestSize / 2));
    stream.destroy(new Error("reset on request"));
    return;
  }
  const request = await reader.exactly(requestSize);
  if (mode === Mode.halfClose) await reader.atEnd();
  const response = noise(responseSize, responseSize);
  stream.write(digest(request));
  await write(stream, response);
  stream.end(digest(response));
  if (mode !== Mode.halfClose) await reader.atEnd();
}

export interface Tally {
  ok: number;
  reset: number;
  readonly errors: string[];
}

/** Runs `count` exchanges at once, about `total` bytes in all; the peer resets none that is not asked to. */
export async function callMany(mux: Mux, count: number, total: number, largest: number, modes: Mode[]): Promise<Tally> {
  const random = new Random(count);
  const tally: Tally = { ok: 0, reset: 0, errors: [] };
  const one = async (): Promise<void> => {
    const mode = modes[random.upTo(modes.length - 1)] ?? Mode.plain;
    const [requestSize, responseSize] = [0, 0].map(() => drawSize(random, total / count, largest)) as [number, number];
    try {
      await call(mux, mode, requestSize, responseSize);
      tally.ok += 1;
    } catch (error) {
      if (mode === Mode.reset) tally.reset += 1;
      else tally.errors.push(`mode ${mode}, ${requestSize} and ${responseSize} bytes: ${String(error)}`);
    }
  };
  await Promise.all(Array.from({ length: count }, one));
  return tally;
}
