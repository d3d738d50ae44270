import { type IncomingMessage, type OutgoingHttpHeaders, request } from "node:http";
import type { Duplex } from "node:stream";

/** A request for an upgrade, and the connection that it is sent on. */
export interface UpgradeOptions {
  readonly connect: () => Duplex;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  /** Milliseconds for the connection and the answer together. */
  readonly timeout: number;
}

/** An answer may explain itself up to this many bytes. */
const MAX_EXPLANATION = 4096;

/**
 * Asks the peer to upgrade a connection and gives the connection. Bytes that came behind the answer can be read from it.
 *
 * Rejects with the text of the answer when the peer refuses, with the error of the connection when it breaks.
 */
export function upgrade({ connect, path, headers, timeout }: UpgradeOptions): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const connection = connect();
    const asked = request({ path, headers, createConnection: () => connection });
    const timer = setTimeout(() => asked.destroy(new Error(`no answer within ${timeout / 1000} s`)), timeout);
    asked.on("close", () => clearTimeout(timer));
    asked.on("error", reject);
    asked.on("response", (response) => {
      explanation(response)
        .then((text) => reject(new Error(`${response.statusCode} ${text}`)), reject)
        .finally(() => connection.destroy()); // node keeps it alive, for the sake of the header Connection
    });
    asked.on("upgrade", (_response, _connection, head) => {
      clearTimeout(timer);
      if (head.length > 0) connection.unshift(head);
      resolve(connection);
    });
    asked.end();
  });
}

async function explanation(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length >= MAX_EXPLANATION) break;
  }
  return text.slice(0, MAX_EXPLANATION).trim();
}
