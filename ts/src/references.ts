/**
 * What one end of a link lends to the other: objects that are served beneath `/reference/<reference>`, on that link only,
 * until they are withdrawn, released or the link ends. (proto/plugmux/v1/reference.proto)
 */

import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Code, ConnectError, type ConnectRouter, createContextKey } from "@connectrpc/connect";
import { ReferenceService } from "../../gen/ts/plugmux/v1/reference_pb.js";
import { answer, App, type Servable, type ServeOptions } from "./app.js";
import { SessionClosedError } from "./errors.js";
import { errorMessage } from "./errorMessage.js";

/** An object that one end of a link lends to the other. */
export interface Lent extends Servable {
  /** Called once when the object has been withdrawn or released, or its link has ended. */
  onRelease?(): void | Promise<void>;
}

const PREFIX = "/reference/";
const REFERENCE_BYTES = 16;
const REFERENCE = /^[0-9a-f]{32}$/;
const END_STREAM = 2;

export const UNKNOWN = "the reference is not known on this link: it has been released, or is of another link";

/** What handlers find in their context: what is lent on the link that the call came on. */
export const LENT = createContextKey<References | undefined>(undefined, { description: "what is lent on the link" });

/** The objects that are lent on one link. */
export class References {
  readonly #options: ServeOptions;
  readonly #lent = new Map<string, { readonly object: Lent; readonly app: App }>();
  #hasEnded = false;

  /** @param options what holds for all objects. */
  constructor(options: ServeOptions) {
    this.#options = options;
  }

  /** How many objects are lent. */
  get size(): number {
    return this.#lent.size;
  }

  /** Serves an object from here on, and gives its reference. */
  lend(object: Lent): string {
    if (this.#hasEnded) throw new SessionClosedError("the link has ended: nothing can be lent on it");
    const reference = randomBytes(REFERENCE_BYTES).toString("hex");
    this.#lent.set(reference, { object, app: new App(object, this.#options) });
    return reference;
  }

  /** The object that a request goes to, whose path is then the one within the object; undefined where it is not known. */
  find(request: IncomingMessage): App | undefined {
    const [reference = "", ...rest] = (request.url ?? "").slice(PREFIX.length).split("/");
    const app = this.#lent.get(reference)?.app;
    if (app) request.url = `/${rest.join("/")}`;
    return app;
  }

  /** Serves an object no longer, and waits for its clean-up. One that is not known has been released before. */
  async release(reference: string): Promise<void> {
    const lent = this.#lent.get(reference);
    this.#lent.delete(reference);
    await lent?.object.onRelease?.();
  }

  /**
   * Releases everything, as the link has ended, and lends no more.
   *
   * @param failed called with what a clean-up throws, which does not keep the others from theirs.
   */
  async end(failed: (error: unknown) => void): Promise<void> {
    this.#hasEnded = true;
    await Promise.all([...this.#lent.keys()].map((reference) => this.release(reference).catch(failed)));
  }
}

/** Lets the peer give back what it was lent. */
export function serveReferences(router: ConnectRouter): void {
  router.service(ReferenceService, {
    async release({ reference }, { values }) {
      try {
        await values.get(LENT)?.release(reference);
      } catch (error) {
        throw new ConnectError(`the clean-up of the object has failed: ${errorMessage(error)}`, Code.Internal);
      }
      return {};
    },
  });
}

/** The path of an object of the peer's. What is no reference is not known either, and must not lead elsewhere. */
export function pathOf(reference: string): string {
  return PREFIX + (REFERENCE.test(reference) ? reference : "none");
}

export function isReferring({ url = "" }: IncomingMessage): boolean {
  return url.startsWith(PREFIX);
}

/** Answers a call of an object that is not known, in the way that the kind of the call has for errors. */
export function answerUnknown({ headers }: IncomingMessage, response: ServerResponse): void {
  const error = { code: "not_found", message: UNKNOWN };
  const type = headers["content-type"] ?? "";
  if (!type.startsWith("application/connect+")) {
    return answer(response, 404, JSON.stringify(error), "application/json");
  }
  const message = Buffer.from(JSON.stringify({ error }));
  const head = Buffer.alloc(5, END_STREAM);
  head.writeUInt32BE(message.length, 1);
  answer(response, 200, Buffer.concat([head, message]), type);
}
