/** A request that does not come in time, or that is no message, is a fault of its caller, and is answered as one. */

import type { IncomingMessage } from "node:http";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import { createAsyncIterable, type UniversalHandler, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { MAX_TIMER } from "./limits.js";

/** The longest time limit of a call that the Connect protocol has, ten digits. */
const TIMEOUT = /^[0-9]{1,10}$/;

/** What Connect says of a message that is compressed although the stream has no compression. */
const UNASKED_COMPRESSION = /^received compressed envelope/;

/** Whether the request of a call has been parsed. */
const PARSED = createContextKey({ done: false });

/** Ends the body of a request with an error at the deadline of the call; Connect waits for it without a limit. */
export function endAtDeadline(request: IncomingMessage): void {
  const timeout = request.headers["connect-timeout-ms"];
  if (typeof timeout !== "string" || !TIMEOUT.test(timeout)) return;
  const deadline = performance.now() + Number(timeout);
  const read = request[Symbol.asyncIterator].bind(request) as () => AsyncIterator<Buffer>;
  const chunks = (): AsyncGenerator<Buffer> => readUntil(deadline, read());
  Object.defineProperty(request, Symbol.asyncIterator, { value: chunks });
}

async function* readUntil(deadline: number, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  let late: ConnectError | undefined;
  let stopWaiting = (_: ConnectError): void => {};
  const timer = setTimeout(
    () => {
      late = new ConnectError(
        "the request has not arrived as a whole before the deadline of the call",
        Code.DeadlineExceeded,
      );
      stopWaiting(late);
    },
    Math.min(deadline - performance.now(), MAX_TIMER),
  );
  try {
    while (!late) {
      const chunk = await new Promise<IteratorResult<Buffer>>((resolve, reject) => {
        stopWaiting = reject;
        chunks.next().then(resolve, reject);
      });
      if (chunk.done) return;
      yield chunk.value;
    }
    throw late;
  } finally {
    clearTimeout(timer);
  }
}

/** Belongs outermost: it notes that the request was parsed, and answers for those of a stream that cannot be. */
export const blameCaller: Interceptor = (next) => async (request) => {
  request.contextValues.get(PARSED).done = true;
  return next(request.stream ? { ...request, message: parsed(request.message) } : request);
};

async function* parsed<Message>(messages: AsyncIterable<Message>): AsyncIterable<Message> {
  try {
    yield* messages;
  } catch (error) {
    if (!(error instanceof ConnectError) || error.code !== Code.Internal) throw error;
    if (UNASKED_COMPRESSION.test(error.rawMessage)) throw error; // "internal", as the conformance suite of Connect has it
    throw new ConnectError(error.rawMessage, Code.InvalidArgument, undefined, undefined, error);
  }
}

/** Lets the unary methods of a router answer a request that is no message with "invalid_argument"; Connect says "internal". */
export function blameCallers({ handlers }: ConnectRouter): void {
  for (const [index, handler] of handlers.entries()) {
    if (handler.method.methodKind === "unary") handlers[index] = Object.assign(blaming(handler), handler);
  }
}

function blaming(handler: UniversalHandler) {
  return async (request: Parameters<UniversalHandler>[0]): Promise<UniversalServerResponse> => {
    const state = { done: false };
    const contextValues = (request.contextValues ?? createContextValues()).set(PARSED, state);
    const response = await handler({ ...request, contextValues });
    if (state.done || response.status !== codeToHttpStatus(Code.Internal)) return response;
    const text = `the request is no message of the type ${handler.method.input.typeName}`;
    const body = errorToJsonBytes(new ConnectError(text, Code.InvalidArgument), undefined);
    const header = new Headers(response.header);
    header.delete("content-encoding");
    header.set("content-length", String(body.byteLength));
    return { status: codeToHttpStatus(Code.InvalidArgument), header, body: createAsyncIterable([body]) };
  };
}
