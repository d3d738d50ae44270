/** Responses that go out as a whole. */

import { STATUS_CODES } from "node:http";

/** Fields that belong to the connection and not to the handler, and the time, which every response has. */
const OWN = new Set(["connection", "date", "keep-alive", "transfer-encoding", "upgrade"]);

/** The fields of a head, as lines, but for those that `encodeResponse` sets. */
export function encodeFields(header: Headers | undefined): string {
  let lines = "";
  header?.forEach((value, name) => {
    if (!OWN.has(name)) lines += `${name}: ${value}\r\n`;
  });
  return lines;
}

/** @param fields the lines of the fields, that of the length among them. */
export function encodeResponse(status: number, fields: string, body: Uint8Array, close: boolean): Buffer {
  const connection = close ? "close" : "keep-alive";
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${fields}date: ${date()}\r\nconnection: ${connection}\r\n\r\n`;
  const bytes = Buffer.allocUnsafe(head.length + body.length);
  bytes.write(head, "latin1");
  bytes.set(body, head.length);
  return bytes;
}

let second = 0;
let text = "";

/** The time, to the second. */
function date(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toUTCString();
  }
  return text;
}
