#!/usr/bin/env node
/**
 * The other end for the interop tests: @chainsafe/libp2p-yamux on an inherited socket, steered by lines on stdin.
 *
 * It accepts streams and serves the exchange that ../peer/exchange.go describes. One command is known, and answered by
 * one line of JSON:
 *
 *     call N TOTAL MAX SEED  open N streams at once and run an exchange on each, TOTAL bytes in all, MAX on one
 */

import { createHash, randomBytes } from "node:crypto";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import { yamux } from "@chainsafe/libp2p-yamux";
import { defaultLogger } from "@libp2p/logger";
import { pushable } from "it-pushable";

const HALF_CLOSE = 1;
const RESET = 2;
const CHUNK = 64 * 1024;
const NOISE = randomBytes(9 * 1024 * 1024);

const sha256 = (data) => createHash("sha256").update(data).digest();

/** Both halves of a stream, as sockets have them. */
class Halves {
  #rest = Buffer.alloc(0);

  constructor(stream) {
    this.stream = stream;
    this.#source = stream.source[Symbol.asyncIterator]();
    this.out = pushable({ objectMode: false });
    this.sent = stream.sink(this.out);
    this.sent.catch(() => {}); // the reader is told of a reset
  }

  #source;

  /** Gives some bytes, at most as many as wanted, and none at the end. */
  async some(most) {
    if (this.#rest.length === 0) {
      const { value, done } = await this.#source.next();
      if (done) return this.#rest;
      this.#rest = Buffer.from(value.subarray());
      if (this.#rest.length === 0) return this.some(most);
    }
    const data = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(data.length);
    return data;
  }

  async exactly(size, take = () => {}) {
    const parts = [];
    for (let left = size; left > 0; ) {
      const data = await this.some(Math.min(left, CHUNK));
      if (data.length === 0) throw new Error(`the stream ended ${left} bytes early`);
      take(data);
      parts.push(data);
      left -= data.length;
    }
    return Buffer.concat(parts);
  }

  write(data) {
    for (let start = 0; start < data.length; start += CHUNK) this.out.push(data.subarray(start, start + CHUNK));
  }

  async end() {
    this.out.end();
    await this.sent;
    await this.stream.closeWrite();
  }
}

async function answer(stream) {
  const halves = new Halves(stream);
  const head = await halves.exactly(9);
  const [request, response] = [head.readUInt32BE(1), head.readUInt32BE(5)];
  const digest = createHash("sha256");
  await halves.exactly(request, (data) => digest.update(data));
  if (head[0] === HALF_CLOSE && (await halves.some(1)).length > 0) throw new Error("no end behind the request");
  const data = NOISE.subarray(0, response);
  halves.write(digest.digest());
  halves.write(data);
  halves.write(sha256(data));
  await halves.end();
  while ((await halves.some(CHUNK)).length > 0); // until the opener has closed
}

async function call(muxer, mode, requestSize, responseSize) {
  const halves = new Halves(await muxer.newStream());
  const head = Buffer.alloc(9);
  head[0] = mode;
  head.writeUInt32BE(requestSize, 1);
  head.writeUInt32BE(responseSize, 5);
  const request = NOISE.subarray(0, requestSize);
  halves.write(head);
  halves.write(request);
  if (mode === HALF_CLOSE) await halves.end();
  if (!(await halves.exactly(32)).equals(sha256(request))) throw new Error("the peer got another request");
  const response = await halves.exactly(responseSize);
  if (!(await halves.exactly(32)).equals(sha256(response))) throw new Error("the response is damaged");
  if ((await halves.some(1)).length > 0) throw new Error("no end behind the response");
  if (mode !== HALF_CLOSE) await halves.end();
}

function drawSize(average, largest) {
  const upTo = (most) => Math.floor(Math.random() * (most + 1));
  switch (upTo(7)) {
    case 0:
      return 0;
    case 1:
      return upTo(Math.min(largest, 3 * average + 1));
    default:
      return upTo(Math.min(largest, Math.floor(average / 2) + 1));
  }
}

async function callMany(muxer, count, total, largest) {
  const result = { ok: 0, reset: 0, errors: [] };
  const average = Math.floor(total / count);
  await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const mode = index % 3;
      try {
        await call(muxer, mode, drawSize(average, largest), drawSize(average, largest));
        result.ok += 1;
      } catch (error) {
        if (mode === RESET) result.reset += 1;
        else result.errors.push(`mode ${mode}: ${error}`);
      }
    }),
  );
  return result;
}

const options = Object.fromEntries(process.argv.slice(2).map((text) => text.replace(/^-/, "").split("=")));
const socket = new Socket({ fd: Number(options.fd), readable: true, writable: true });
socket.on("error", () => {}); // the sources end
const muxer = yamux({ enableKeepAlive: false })({ logger: defaultLogger() }).createStreamMuxer({
  direction: options.client === "true" ? "outbound" : "inbound",
  onIncomingStream: (stream) => answer(stream).catch(() => {}), // a reset by the opener is as good an end as any
});
muxer.sink(socket).catch(() => {});
(async () => {
  for await (const chunk of muxer.source) {
    if (!socket.write(chunk.subarray())) await new Promise((resume) => socket.once("drain", resume).once("close", resume));
  }
  socket.end();
})();
for await (const line of createInterface({ input: process.stdin })) {
  const [, count, total, largest] = line.split(" ").map(Number);
  console.log(JSON.stringify(await callMany(muxer, count, total, largest)));
}
process.exit(0);
