import type { Duplex } from "node:stream";
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { PlugmuxError } from "./errors.js";
import { MAX_MESSAGE } from "./limits.js";

/**
 * A Connect transport to the services beneath a path, which opens a stream for each call. A call that fails because the
 * link is gone has the code "unavailable". Connect's clients do not notice when a caller stops reading the messages of a
 * stream: give such a call an `AbortSignal`, which resets its stream.
 *
 * @param maxMessageBytes the most bytes that a message of an answer may have.
 */
export function createTransport(open: () => Duplex, path = "", maxMessageBytes = MAX_MESSAGE): Transport {
  return createConnectTransport({
    httpVersion: "1.1",
    baseUrl: `http://unix${path}`,
    nodeOptions: { createConnection: open },
    interceptors: [lostLinkIsUnavailable],
    acceptCompression: [],
    readMaxBytes: maxMessageBytes,
  });
}

const lostLinkIsUnavailable: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: withConnectErrors(response.message) } : response;
  } catch (error) {
    throw toConnectError(error);
  }
};

async function* withConnectErrors<Message>(messages: AsyncIterable<Message>): AsyncIterable<Message> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error);
  }
}

function toConnectError(error: unknown): unknown {
  const cause = error instanceof ConnectError ? error.cause : error;
  if (!(cause instanceof PlugmuxError)) return error;
  return new ConnectError(cause.message, Code.Unavailable, undefined, undefined, cause);
}
