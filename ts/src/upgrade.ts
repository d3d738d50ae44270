import { once } from "node:events";
import type { Duplex } from "node:stream";

/** A request for an upgrade, and the connection that it is sent on. */
export interface UpgradeOptions {
  readonly connect: () => Duplex;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds for the connection and the answer together. */
  readonly timeout: number;
}

/** The peer has answered that it does not switch the connection. */
export class UpgradeRefused extends Error {
  constructor(
    readonly status: number,
    explanation: string,
  ) {
    super(`${status} ${explanation}`);
  }
}

/** The most bytes of the head of an answer. */
const MAX_HEAD = 16 * 1024;

/** The most bytes of the body of a refusal that are read, as an explanation. */
const MAX_EXPLANATION = 4096;

const HEAD_END = "\r\n\r\n";

/**
 * The version is not looked at: Docker's engine answers with `HTTP/0.0`, which node's own parser refuses.
 */
const STATUS_LINE = /^HTTP\/\d\.\d (\d{3})(?: |$)/;

/**
 * Asks the peer to upgrade a connection and gives the connection. Bytes that came behind the answer can be read from it.
 *
 * Rejects with `UpgradeRefused` when the peer refuses, with the error of the connection when it breaks.
 */
export async function upgrade({ connect, path, headers, timeout }: UpgradeOptions): Promise<Duplex> {
  const connection = connect();
  const ignore = (): void => {}; // What reads the connection tells of its errors.
  connection.on("error", ignore);
  const timer = setTimeout(() => connection.destroy(new Error(`no answer within ${timeout / 1000} s`)), timeout);
  try {
    const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    connection.write(`GET ${path} HTTP/1.1\r\n${fields.join("")}\r\n`);
    const { head, rest } = await readHead(connection);
    const status = STATUS_LINE.exec(head)?.[1];
    if (!status) throw new Error("the answer is not HTTP");
    if (status !== "101") throw new UpgradeRefused(Number(status), await explanation(connection, head, rest));
    if (rest.length > 0) connection.unshift(rest);
    connection.off("error", ignore);
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function readHead(connection: Duplex): Promise<{ head: string; rest: Buffer }> {
  let read = Buffer.alloc(0);
  for (;;) {
    const chunk = await next(connection);
    if (!chunk) throw new Error("the connection ended before the answer");
    read = Buffer.concat([read, chunk]);
    const end = read.indexOf(HEAD_END);
    if (end >= 0 && end <= MAX_HEAD) {
      return { head: read.toString("latin1", 0, end), rest: read.subarray(end + HEAD_END.length) };
    }
    if (read.length > MAX_HEAD) throw new Error(`the head of the answer has over ${MAX_HEAD} bytes`);
  }
}

/** The body of a refusal: as long as its head says, or until the connection ends. */
async function explanation(connection: Duplex, head: string, rest: Buffer): Promise<string> {
  const isChunked = /^transfer-encoding:.*chunked/im.test(head);
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? Number.POSITIVE_INFINITY);
  let body = rest;
  const isWhole = (): boolean => body.length >= Math.min(length, MAX_EXPLANATION) || (isChunked && hasLastChunk(body));
  while (!isWhole()) {
    const chunk = await next(connection);
    if (!chunk) break;
    body = Buffer.concat([body, chunk]);
  }
  return (isChunked ? unchunked(body) : body.subarray(0, length)).toString("utf8", 0, MAX_EXPLANATION).trim();
}

function hasLastChunk(body: Buffer): boolean {
  return body.subarray(-5).toString("latin1") === "0\r\n\r\n";
}

function unchunked(body: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let position = 0; position < body.length; ) {
    const lineEnd = body.indexOf("\r\n", position);
    const size = lineEnd < 0 ? 0 : Number.parseInt(body.toString("latin1", position, lineEnd), 16);
    if (!(size > 0)) break;
    pieces.push(body.subarray(lineEnd + 2, lineEnd + 2 + size));
    position = lineEnd + 2 + size + 2;
  }
  return Buffer.concat(pieces);
}

/** The bytes that have come, when there are any; null at the end of the connection. */
async function next(connection: Duplex): Promise<Buffer | null> {
  for (;;) {
    const chunk = connection.read() as Buffer | null;
    if (chunk) return chunk;
    if (connection.errored) throw connection.errored;
    if (connection.readableEnded || connection.destroyed) return null;
    const listening = new AbortController();
    const { signal } = listening;
    try {
      await Promise.race(["readable", "end", "close"].map((event) => once(connection, event, { signal })));
    } finally {
      listening.abort();
    }
  }
}
