/**
 * Turns what a handler throws into the response of its call. Anything but a `ConnectError` ends the call with `internal`,
 * and is logged once with its stack. The caller does not get the text, which may contain secrets, unless the runtime has
 * asked for it.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** The most characters of a stack that a caller gets. */
const maxStackLength = 16 * 1024;

/** Called for each fault with what failed, as `service/method` or the name of a raw stream, and with what was thrown. */
export type FaultListener = (what: string, error: unknown) => void;

/** Whether a call has been aborted, by its caller or its deadline. */
type Aborted = Pick<AbortSignal, "aborted">;

/** A call under way. */
class Call {
  /** Set once the call has failed outside of its handler. */
  error: ConnectError | undefined;
  /** Rejects the step that is awaited. */
  reject: ((error: ConnectError) => void) | undefined;

  constructor(
    readonly name: string,
    readonly listener: FaultListener,
  ) {}

  /** Ends the call with `internal`, if it has not ended. */
  fail(): void {
    this.error = failed(this);
    this.reject?.(this.error);
  }
}

/** Runs a call, and everything that it starts, so that `trackProcess` can attribute a rejection to it. */
type Run = <Result>(call: Call, run: () => Result) => Result;

/** Thrown by `process.exit` within a handler; the plugin then ends in order. */
class ExitRequested extends Error {
  constructor(status: unknown) {
    super(`the handler has called process.exit(${String(status ?? "")})`);
  }
}

export class HandlerFaults {
  /** Whether callers get the stack, because the runtime has asked for it. */
  debug = false;
  readonly #listener: FaultListener;
  #run: Run = (_call, run) => run();

  constructor(listener: FaultListener) {
    this.#listener = listener;
  }

  /** Handles what handlers throw. Make it the outermost, so that it also handles what other interceptors throw. */
  readonly interceptor: Interceptor = (next) => async (request) => {
    const { signal } = request;
    const call = new Call(`${request.service.typeName}/${request.method.name}`, this.#listener);
    const response = await this.#answer(call, signal, () => next(request));
    return response.stream ? { ...response, message: this.#messages(call, signal, response.message) } : response;
  };

  /** Runs the handler of a unary call as the interceptor does. */
  unary<Result>(name: string, signal: Aborted, handle: () => Promise<Result>): Promise<Result> {
    return this.#answer(new Call(name, this.#listener), signal, handle);
  }

  /** Serves a raw stream. A fault is logged; the caller then resets the stream. */
  async stream(name: string, serve: () => Promise<void>): Promise<void> {
    const call = new Call(`raw stream ${name}`, this.#listener);
    try {
      await this.#step(call, serve);
    } catch (error) {
      const isTold = call.error !== undefined && error === call.error;
      if (!isTold && !(error instanceof ExitRequested)) this.#listener(call.name, error);
      throw error;
    }
  }

  /**
   * From now on, an unhandled rejection ends the call that caused it, and `process.exit` within a call ends the plugin in
   * order. Other rejections end the process, as is the default of Node.js.
   *
   * @param exit ends the plugin in order, and the process with the status.
   * @returns a function that restores the process.
   */
  trackProcess(exit: (status: number | string | null | undefined) => void): () => void {
    const calls = new AsyncLocalStorage<Call>();
    const exitProcess = process.exit;
    const onRejection = (error: unknown): void => {
      const call = calls.getStore();
      if (!call) throw error; // This makes it an uncaught exception.
      if (!(error instanceof ExitRequested)) call.listener(`${call.name}, in a promise that nobody awaits,`, error);
      call.fail();
    };
    this.#run = (call, run) => calls.run(call, run);
    process.on("unhandledRejection", onRejection);
    process.exit = (status) => {
      if (!calls.getStore()) return exitProcess(status);
      exit(status);
      throw new ExitRequested(status);
    };
    return () => {
      this.#run = (_call, run) => run();
      process.off("unhandledRejection", onRejection);
      process.exit = exitProcess;
    };
  }

  /** Attributes rejections through another instance, on which `trackProcess` is called for the whole process. */
  leaveProcessTo(other: HandlerFaults): void {
    this.#run = (call, run) => other.#run(call, run);
  }

  async #answer<Result>(call: Call, signal: Aborted, handle: () => Promise<Result>): Promise<Result> {
    try {
      return await this.#step(call, handle);
    } catch (error) {
      throw this.#toAnswer(call, signal, error);
    }
  }

  /** One step of a call: the response of a handler, or the next message of it. */
  #step<Result>(call: Call, step: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (call.error) return reject(call.error);
      call.reject = reject;
      this.#run(call, step).then(resolve, reject);
    });
  }

  async *#messages<Message>(call: Call, signal: AbortSignal, messages: AsyncIterable<Message>): AsyncIterable<Message> {
    const iterator = this.#run(call, () => messages[Symbol.asyncIterator]());
    let isOver = false;
    try {
      for (;;) {
        const result = await this.#step(call, () => iterator.next()).catch((error: unknown) => {
          isOver = true;
          throw this.#toAnswer(call, signal, error);
        });
        if ((isOver = result.done === true)) return;
        yield result.value as Message; // If the caller leaves, the generator ends here, by a return or an error.
      }
    } finally {
      if (!isOver) await this.#run(call, () => iterator.return?.());
    }
  }

  #toAnswer(call: Call, signal: Aborted, error: unknown): unknown {
    if (error instanceof ConnectError || signal.aborted) return error;
    if (!(error instanceof ExitRequested)) this.#listener(call.name, error);
    return failed(call, error, this.debug);
  }
}

function failed({ name }: Call, cause?: unknown, debug = false): ConnectError {
  const stack = cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause);
  const text = debug
    ? `the handler of ${name} has failed:\n${stack.slice(0, maxStackLength)}`
    : `the handler of ${name} has failed; the log of the plugin tells why`;
  return new ConnectError(text, Code.Internal, undefined, undefined, cause);
}
