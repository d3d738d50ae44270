/**
 * One connection between two peers: yamux, with HTTP served and called on its streams, in both directions. It has no
 * sides but the parity of the stream ids.
 */

import { fstatSync } from "node:fs";
import { Socket } from "node:net";
import type { Duplex, Readable, Writable } from "node:stream";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import type { DescService } from "@bufbuild/protobuf";
import { ConfigError, SessionTimeout } from "./errors.js";
import { errorMessage } from "./errorMessage.js";
import { type Lent, References } from "./references.js";
import { openStream, RemoteObject } from "./remote.js";
import { LINK_CLOSE_TIMEOUT } from "./limits.js";
import type { LinkApp } from "./linkApp.js";
import { createTransport } from "./transport.js";
import { withTimeout } from "./withTimeout.js";
import { type Config, localConfig, Mux, type MuxStream, remoteConfig, type Role } from "./yamux/index.js";

export { type LaunchConfig, parseLaunchConfig } from "./launch.js";
export type { Servable, StreamHandler } from "./app.js";
export type { Lent } from "./references.js";
export type { RemoteObject } from "./remote.js";
export { LinkApp, type LinkAppOptions } from "./linkApp.js";

/** A connection: one Duplex as both ends, or two one-way pipes. */
export interface Ends {
  readonly input: Readable;
  readonly output: Writable;
  /** Whether the peer is on the same machine, where it may be slow for any time and is not taken for dead. */
  readonly isLocal?: boolean;
  /** The process at the other end, if it is known. */
  readonly pid?: number;
}

export interface LinkOptions extends Ends {
  /** A plugin is always the client. */
  readonly role: Role;
  readonly app: LinkApp;
  readonly config?: Partial<Config>;
  /** Told what the clean-up of a lent object throws at the end of the link; stderr is by default. */
  readonly onError?: (error: unknown) => void;
}

export class Link {
  readonly mux: Mux;
  /** The Connect transport for the services that the peer serves. */
  readonly transport: Transport;
  readonly #lent: References;
  readonly #maxMessageBytes: number | undefined;
  readonly #open = (): MuxStream => this.mux.open();
  readonly #released: Promise<void>;

  constructor({ role, app, input, output, isLocal = false, config, onError = console.error }: LinkOptions) {
    this.mux = new Mux({ role, input, output, config: { ...(isLocal ? localConfig : remoteConfig), ...config } });
    this.#maxMessageBytes = app.options.maxMessageBytes;
    this.transport = createTransport(this.#open, "", this.#maxMessageBytes);
    this.#lent = new References(app.options);
    this.#released = this.mux.closed.then(() => this.#lent.end(onError));
    this.mux.listen((stream) => app.serve(stream, this.#lent));
  }

  client<Service extends DescService>(service: Service): Client<Service> {
    return createClient(service, this.transport);
  }

  /**
   * Opens a raw stream to the endpoint that the peer serves under `name`; `end()` half-closes it. As with any stream of
   * node's, an "error" that nobody listens to ends the process.
   *
   * @throws StreamRefused when the peer serves no such endpoint or does not answer in time.
   */
  async openStream(name: string, timeout?: number): Promise<Duplex> {
    return openStream(this.#open, name, timeout);
  }

  /**
   * Lends the peer an object of this end's, until it is withdrawn, the peer releases it or the link ends.
   *
   * @returns the reference, which goes into a message. The peer alone can call the object by it.
   * @throws SessionClosedError when the link has ended.
   */
  lend(object: Lent): string {
    return this.#lent.lend(object);
  }

  /** Takes an object back, and waits for its clean-up. Calls in flight go on to their end. */
  async withdraw(reference: string): Promise<void> {
    return this.#lent.release(reference);
  }

  /** How many objects this end has lent. */
  get lent(): number {
    return this.#lent.size;
  }

  /** The object that the peer has lent; calls are "not found" when it is not, or not any more. */
  at(reference: string): RemoteObject {
    return new RemoteObject(reference, this.#open, this.#maxMessageBytes);
  }

  /**
   * Refuses new streams, lets the open ones end for `drainTimeout` milliseconds at most, and closes. The peer has `timeout`
   * milliseconds to read what is still to be sent. Then the link waits for the clean-up of what was lent, for as long at most.
   */
  async close(timeout = LINK_CLOSE_TIMEOUT, drainTimeout = timeout): Promise<void> {
    this.mux.goAway();
    await withTimeout(drainTimeout, this.mux.idle());
    await withTimeout(timeout, this.mux.close());
    this.mux.abort(new SessionTimeout("the peer did not read the end of the link"));
    await withTimeout(timeout, this.#released);
  }
}

/**
 * The connection over inherited descriptors: one socket where both are the same, two one-way pipes otherwise.
 *
 * @throws ConfigError when a descriptor is not open, or can be no end of a link.
 */
export function inherit(readFd: number, writeFd: number): Ends {
  if (readFd === writeFd) {
    const socket = claim(readFd, { readable: true, writable: true });
    return { input: socket, output: socket, isLocal: true };
  }
  return {
    input: claim(readFd, { readable: true, writable: false }),
    output: claim(writeFd, { readable: false, writable: true }),
    isLocal: true,
  };
}

function claim(fd: number, ways: { readable: boolean; writable: boolean }): Socket {
  const isOneWay = !(ways.readable && ways.writable);
  try {
    const status = fstatSync(fd);
    if (status.isSocket() || (isOneWay && status.isFIFO())) return new Socket({ fd, ...ways });
  } catch (error) {
    throw new ConfigError(`the launch configuration names descriptor ${fd}: ${errorMessage(error)}`, { cause: error });
  }
  const kind = isOneWay ? "neither a socket nor a pipe" : "not a socket";
  throw new ConfigError(`the launch configuration names descriptor ${fd}, which is ${kind}`);
}
