/** The vectors that every yamux of this repository runs; their form is described in tests/vectors/README.md. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { ProtocolViolation } from "../src/errors.js";
import { configure } from "../src/yamux/config.js";
import { decodeHeader, encodeHeader, Flag, FrameType, HEADER_SIZE } from "../src/yamux/frame.js";
import { type Event, type Role, Session, type StreamState } from "../src/yamux/index.js";

type Payload = string | { readonly repeat: string; readonly count: number };

interface Frame {
  readonly type: "data" | "window_update" | "ping" | "go_away";
  readonly flags?: readonly ("SYN" | "ACK" | "FIN" | "RST")[];
  readonly stream: number;
  readonly payload?: Payload;
  readonly length?: number;
}

type Told = Record<string, number | string>;

interface Step {
  readonly receive?: readonly Frame[];
  readonly receive_hex?: string;
  readonly receive_eof?: true;
  readonly open?: number;
  readonly open_fails?: true;
  readonly accept?: number;
  readonly write?: number;
  readonly payload?: Payload;
  readonly end?: number;
  readonly reset?: number;
  readonly read?: number;
  readonly bytes?: number;
  readonly go_away?: true;
  readonly events?: readonly Readonly<Record<string, unknown>>[];
  readonly send?: readonly Frame[];
}

interface Trace {
  readonly name: string;
  readonly role: Role;
  readonly config?: Readonly<Record<string, number>>;
  readonly steps: readonly Step[];
}

interface FrameVector {
  readonly name: string;
  readonly hex: string;
  readonly version: number;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly length: number;
  readonly error?: true;
}

const TYPES = {
  data: FrameType.data,
  window_update: FrameType.windowUpdate,
  ping: FrameType.ping,
  go_away: FrameType.goAway,
} as const;
const FLAGS = { SYN: Flag.syn, ACK: Flag.ack, FIN: Flag.fin, RST: Flag.rst } as const;
const WINDOW = 262_144;

function load(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../../../tests/vectors/yamux/${name}`, import.meta.url), "utf8"));
}

const expand = (payload: Payload): Buffer =>
  typeof payload === "string" ? Buffer.from(payload) : Buffer.alloc(payload.count, payload.repeat);

function encode({ type, flags = [], stream, payload = "", length = 0 }: Frame): Buffer {
  const bits = flags.reduce((sum, flag) => sum | FLAGS[flag], 0);
  const body = expand(payload);
  return Buffer.concat([encodeHeader(TYPES[type], bits, stream, type === "data" ? body.length : length), body]);
}

/** What was put out, in the normal form of the vectors. */
function normalize(bytes: Buffer): unknown {
  const streams = new Map<number, { flags: Set<string>; payload: Buffer[]; credit: number; order: string[] }>();
  const pongs: number[] = [];
  const goAways: number[] = [];
  for (let position = 0; position < bytes.length; ) {
    const { type, flags, streamId, length } = decodeHeader(bytes, position);
    position += HEADER_SIZE;
    const names = Object.entries(FLAGS).flatMap(([name, bit]) => (flags & bit ? [name] : []));
    if (type === FrameType.ping) pongs.push(length, flags);
    if (type === FrameType.goAway) goAways.push(length);
    if (type > FrameType.windowUpdate) continue;
    const stream = streams.get(streamId) ?? { flags: new Set(), payload: [], credit: 0, order: [] };
    streams.set(streamId, stream);
    assert.ok(!stream.order.includes("FIN"), "FIN is on or behind the last byte");
    if (names.includes("SYN") || names.includes("ACK"))
      assert.equal(stream.order.length, 0, "the first frame has SYN or ACK");
    stream.order.push(...names, "frame");
    for (const name of names) stream.flags.add(name);
    if (type === FrameType.windowUpdate) {
      stream.credit += length;
    } else {
      stream.payload.push(bytes.subarray(position, position + length));
      position += length;
    }
  }
  const perStream = [...streams].map(([id, { flags, payload, credit }]) => {
    return { id, flags: [...flags].sort(), payload: Buffer.concat(payload).toString(), credit };
  });
  return { streams: perStream.sort((a, b) => a.id - b.id), pongs, goAways };
}

function maxDataFrame(bytes: Buffer): number {
  let largest = 0;
  for (let position = 0; position < bytes.length; position += HEADER_SIZE) {
    const { type, length } = decodeHeader(bytes, position);
    if (type !== FrameType.data) continue;
    largest = Math.max(largest, length);
    position += length;
  }
  return largest;
}

function tell(event: Event): Told[] {
  switch (event.type) {
    case "data":
      return [{ data: event.stream.id, payload: event.data.toString() }];
    case "opened":
    case "acknowledged":
    case "ended":
    case "reset":
      return [{ [event.type]: event.stream.id }];
    case "goAway":
      return [{ go_away: 0 }];
    case "closed":
      return [{ session_ended: event.error instanceof ProtocolViolation ? "violation" : "closed" }];
    default:
      return [];
  }
}

/** Adds what an event tells; data that comes behind data of its stream is joined to it. */
function add(told: Told[], events: readonly Told[]): void {
  for (const event of events) {
    const last = told.at(-1);
    if (last && "data" in event && event["data"] === last["data"]) last["payload"] += String(event["payload"]);
    else told.push(event);
  }
}

class Runner {
  readonly #session: Session;
  readonly #streams = new Map<number, StreamState>();
  readonly #slice: number;
  #told: Told[] = [];

  constructor(trace: Trace, slice: number) {
    const { accept_backlog, stream_window_size, max_stream_window_size } = trace.config ?? {};
    const config = configure({
      maxStreamWindowSize: max_stream_window_size ?? WINDOW,
      ...(accept_backlog !== undefined && { acceptBacklog: accept_backlog }),
      ...(stream_window_size !== undefined && { streamWindowSize: stream_window_size }),
    });
    this.#session = new Session(trace.role, config);
    this.#slice = slice;
  }

  run(step: Step): void {
    if (step.receive) this.#receive(Buffer.concat(step.receive.map(encode)));
    if (step.receive_hex) this.#receive(Buffer.from(step.receive_hex, "hex"));
    if (step.receive_eof) this.#session.receiveEnd();
    if (step.open_fails) assert.throws(() => this.#session.open());
    if (step.go_away) this.#session.goAway();
    if (step.open !== undefined) this.#open(step.open);
    if (step.accept !== undefined) this.#session.accept(this.#stream(step.accept));
    if (step.write !== undefined) this.#session.send(this.#stream(step.write), expand(step.payload ?? ""));
    if (step.end !== undefined) this.#session.end(this.#stream(step.end));
    if (step.reset !== undefined) this.#session.reset(this.#stream(step.reset));
    if (step.read !== undefined) this.#session.consume(this.#stream(step.read), step.bytes ?? 0);
    this.#collect();
    if (step.events) this.#expectEvents(step.events);
    if (step.send) this.#expectSent(step.send);
  }

  #receive(bytes: Buffer): void {
    const slice = this.#slice || bytes.length;
    for (let position = 0; position < bytes.length; position += slice) {
      this.#session.receive(Buffer.from(bytes.subarray(position, position + slice)), 0);
      this.#collect();
    }
  }

  #open(id: number): void {
    const stream = this.#session.open();
    assert.equal(stream.id, id);
    this.#streams.set(id, stream);
  }

  #stream(id: number): StreamState {
    const stream = this.#streams.get(id);
    assert.ok(stream, `stream ${id} has been opened`);
    return stream;
  }

  #collect(): void {
    for (const event of this.#session.events()) {
      if (event.type === "opened") this.#streams.set(event.stream.id, event.stream);
      add(this.#told, tell(event));
    }
  }

  #expectEvents(expected: NonNullable<Step["events"]>): void {
    const wanted = expected.map((event) =>
      "payload" in event ? { ...event, payload: expand(event["payload"] as Payload).toString() } : event,
    );
    assert.deepEqual(this.#told, wanted);
    this.#told = [];
  }

  #expectSent(expected: readonly Frame[]): void {
    this.#session.flushDeferred();
    const sent: Uint8Array[] = [];
    while (this.#session.wantsToSend) sent.push(...this.#session.take());
    this.#collect();
    const bytes = Buffer.concat(sent);
    assert.deepEqual(normalize(bytes), normalize(Buffer.concat(expected.map(encode))));
    assert.ok(maxDataFrame(bytes) <= 131_072);
  }
}

describe("frames.json", () => {
  for (const vector of load("frames.json") as FrameVector[]) {
    test(vector.name, () => {
      const { hex, version, type, flags, stream: streamId, length } = vector;
      assert.deepEqual(decodeHeader(Buffer.from(hex, "hex"), 0), { version, type, flags, streamId, length });
      if (!vector.error) assert.equal(encodeHeader(type, flags, streamId, length).toString("hex"), hex);
    });
  }
});

for (const [how, slice] of [
  ["in whole steps", 0],
  ["byte by byte", 1],
] as const) {
  describe(`sessions.json, ${how}`, () => {
    for (const trace of load("sessions.json") as Trace[]) {
      test(trace.name, () => {
        const runner = new Runner(trace, slice);
        for (const step of trace.steps) runner.run(step);
      });
    }
  });
}
