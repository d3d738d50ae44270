/**
 * Answers whole requests of unary methods. Connect's own handlers make signals, `Headers` and a URL for each call, which
 * takes most of its time. They still answer what is out of the ordinary; the rest is answered here, in the same way.
 */

import { create, type DescMessage } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ContextValues,
  createServiceImplSpec,
  type MethodImplSpec,
} from "@connectrpc/connect";
import {
  createMethodSerializationLookup,
  type MethodSerializationLookup,
  type UniversalHandler,
  type UniversalServerRequest,
  validateReadWriteMaxBytes,
} from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes, parseTimeout, trailerMux } from "@connectrpc/connect/protocol-connect";
import type { HandlerFaults } from "./handlerFaults.js";
import { type CallEnd, UnaryContext } from "./unaryContext.js";
import type { WholeRequest } from "./wholeRequest.js";
import { encodeFields, encodeResponse } from "./wholeResponse.js";

/** Answers a request. `end` tells the handler that its caller is gone, and others that the handler has ended. */
export type Answer = (request: WholeRequest, end: CallEnd, values: () => ContextValues) => Promise<Buffer>;

export type UnarySpec = Extract<MethodImplSpec, { kind: "unary" }>;

const PROTO = "application/proto";

/** Answers with Connect's own handler. */
export function answerByConnect(handler: UniversalHandler): Answer {
  return async ({ url, fields, body, close }, { signal }, values) => {
    const response = await handler({
      httpVersion: "1.1",
      method: "POST",
      url,
      header: new Headers([...fields]),
      // Connect takes a body that has been read already as it is, though its type tells only of JSON.
      body: body as unknown as UniversalServerRequest["body"],
      signal,
      contextValues: values(),
    });
    const chunks: Uint8Array[] = [];
    if (response.body) for await (const chunk of response.body) chunks.push(chunk);
    return encodeResponse(response.status, encodeFields(response.header), Buffer.concat(chunks), close);
  };
}

/** Notes the specs of the unary methods that a router gets without options, by the positions of their handlers. */
export function noteUnary(router: ConnectRouter): ReadonlyMap<number, UnarySpec> {
  const noted = new Map<number, UnarySpec>();
  const add = router.service.bind(router);
  router.service = (service, implementation, options) => {
    const specs = options ? [] : Object.values(createServiceImplSpec(service, implementation).methods);
    for (const [index, spec] of specs.entries()) {
      if (spec.kind === "unary") noted.set(router.handlers.length + index, spec);
    }
    return add(service, implementation, options);
  };
  return noted;
}

/** A method that is registered without options, and that no interceptor sees but that of `faults`. */
export class UnaryMethod {
  readonly #spec: UnarySpec;
  readonly #byConnect: Answer;
  readonly #faults: HandlerFaults;
  readonly #maxBytes: number;
  readonly #name: string;
  #lookup: MethodSerializationLookup<DescMessage, DescMessage> | undefined;

  /** @param byConnect answers calls that are out of the ordinary. */
  constructor(spec: UnarySpec, byConnect: Answer, faults: HandlerFaults, maxBytes: number) {
    this.#spec = spec;
    this.#byConnect = byConnect;
    this.#faults = faults;
    this.#maxBytes = maxBytes;
    this.#name = `${spec.method.parent.typeName}/${spec.method.name}`;
  }

  readonly answer: Answer = (request, end, values) => {
    // Connect compresses what it should, and tells the caller what is wrong.
    if (request.fields.has("accept-encoding")) return this.#byConnect(request, end, values);
    const { timeoutMs, error } = parseTimeout(
      request.fields.get("connect-timeout-ms") ?? null,
      Number.MAX_SAFE_INTEGER,
    );
    const message = error ? undefined : this.#parse(request);
    if (!message) return this.#byConnect(request, end, values);
    if (timeoutMs !== undefined) end.limit(timeoutMs);
    return this.#call(message, request, end, new UnaryContext(this.#spec.method, { request, end, values }));
  };

  get #serialization(): MethodSerializationLookup<DescMessage, DescMessage> {
    return (this.#lookup ??= createMethodSerializationLookup(
      this.#spec.method,
      undefined,
      undefined,
      validateReadWriteMaxBytes(this.#maxBytes, undefined, undefined),
    ));
  }

  #parse({ type, body }: WholeRequest): object | undefined {
    try {
      return this.#serialization.getI(type === PROTO).parse(body);
    } catch {
      return undefined;
    }
  }

  async #call(message: object, request: WholeRequest, end: CallEnd, context: UnaryContext): Promise<Buffer> {
    const { impl, method } = this.#spec;
    const handle = async () => create(method.output, await impl(message as never, context.given));
    try {
      const response = await this.#faults.unary(this.#name, end, handle);
      const body = this.#serialization.getO(request.type === PROTO).serialize(response);
      end.abort();
      return encodeResponse(200, fieldsOf(context, request.type, body), body, request.close);
    } catch (thrown) {
      end.abort(thrown);
      const error = thrown instanceof ConnectError ? thrown : new ConnectError("internal error", Code.Internal);
      const { responseHeader } = context.given;
      responseHeader.set("content-type", "application/json");
      error.metadata.forEach((value, name) => responseHeader.set(name, value));
      const body = errorToJsonBytes(error, undefined);
      return encodeResponse(codeToHttpStatus(error.code), fieldsOf(context, "", body), body, request.close);
    }
  }
}

/** The fields of the response of a call, with those of the handler if there are any. */
function fieldsOf(context: UnaryContext, type: string, body: Uint8Array): string {
  if (!context.responseHeader && !context.responseTrailer) {
    return `content-length: ${body.length}\r\ncontent-type: ${type}\r\n`;
  }
  const header = trailerMux(context.given.responseHeader, context.given.responseTrailer);
  header.set("content-length", String(body.length));
  return encodeFields(header);
}
