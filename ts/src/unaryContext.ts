/**
 * What the handler of a unary call is told about it. `Headers` and signals take longer to make than all the rest of a call,
 * and few handlers ask for them: each is made when it is asked for.
 */

import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type HandlerContext } from "@connectrpc/connect";
import { MAX_TIMER } from "./limits.js";
import type { WholeRequest } from "./wholeRequest.js";

/** The end of a call, which a signal tells whoever asks for one. */
export class CallEnd {
  aborted = false;
  #reason: unknown;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #deadline: number | undefined;

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** The milliseconds until the call is ended; undefined for no limit. */
  get left(): number | undefined {
    return this.#deadline === undefined ? undefined : this.#deadline - Date.now();
  }

  /** Ends the call after so many milliseconds. */
  limit(timeout: number): void {
    this.#deadline = Date.now() + timeout;
    const end = (): void => this.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded));
    if (timeout <= 0) end();
    else this.#timer = setTimeout(end, Math.min(timeout, MAX_TIMER));
  }

  abort(reason?: unknown): void {
    clearTimeout(this.#timer);
    if (this.aborted) return;
    this.aborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

/** What the parts of a context are made from. */
export interface Origins {
  readonly request: WholeRequest;
  readonly end: CallEnd;
  readonly values: () => ContextValues;
}

/** The parts that are made when they are asked for; undefined until then. */
interface Parts {
  signal: AbortSignal | undefined;
  requestHeader: Headers | undefined;
  responseHeader: Headers | undefined;
  responseTrailer: Headers | undefined;
  values: ContextValues | undefined;
}

const makers: { readonly [Name in keyof Parts]: (origins: Origins) => NonNullable<Parts[Name]> } = {
  signal: ({ end }) => end.signal,
  requestHeader: ({ request }) => new Headers([...request.fields]),
  responseHeader: ({ request }) => new Headers({ "content-type": request.type }),
  responseTrailer: () => new Headers(),
  values: ({ values }) => values(),
};

/** The context of a call. The parts are properties of its own from the start, so that a copy of `given` has them all. */
export class UnaryContext implements Parts {
  readonly service: DescService;
  readonly requestMethod = "POST";
  readonly protocolName = "connect";
  readonly url: string;
  readonly timeoutMs: () => number | undefined;
  signal: AbortSignal | undefined;
  requestHeader: Headers | undefined;
  responseHeader: Headers | undefined;
  responseTrailer: Headers | undefined;
  values: ContextValues | undefined;
  readonly #origins: Origins;

  constructor(
    readonly method: DescMethod,
    origins: Origins,
  ) {
    this.service = method.parent;
    this.url = origins.request.url;
    this.timeoutMs = () => origins.end.left;
    this.#origins = origins;
  }

  /** What the handler is given. */
  get given(): HandlerContext {
    return new Proxy(this, UnaryContext.#making) as unknown as HandlerContext;
  }

  static readonly #making: ProxyHandler<UnaryContext> = {
    get(context, name) {
      if (!Object.hasOwn(makers, name)) return Reflect.get(context, name) as unknown;
      const part = name as keyof Parts;
      return (context[part] ??= makers[part](context.#origins) as never);
    },
  };
}
