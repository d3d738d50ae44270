/**
 * One connection between two peers: yamux, with HTTP served and called on its streams, in both directions. It has no
 * sides but the parity of the stream ids.
 */

import { Socket } from "node:net";
import type { Duplex, Readable, Writable } from "node:stream";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import type { DescService } from "@bufbuild/protobuf";
import { StreamRefused } from "./errors.js";
import { type Site, STREAM_PREFIX, STREAM_PROTOCOL } from "./site.js";
import { createTransport } from "./transport.js";
import { upgrade } from "./upgrade.js";
import { type Config, Mux, type Role } from "./yamux/index.js";

export { type LaunchConfig, parseLaunchConfig } from "./launch.js";
export { Site, type SiteOptions, type StreamHandler } from "./site.js";

const CLOSE_TIMEOUT = 2_000;
const OPEN_TIMEOUT = 10_000;

/** A connection: one Duplex as both ends, or two one-way pipes. */
export interface Ends {
  readonly input: Readable;
  readonly output: Writable;
}

export interface LinkOptions extends Ends {
  /** A plugin is always the client. */
  readonly role: Role;
  readonly site: Site;
  readonly config?: Partial<Config>;
}

export class Link {
  readonly mux: Mux;
  /** The Connect transport for the services that the peer serves. */
  readonly transport: Transport;

  constructor({ role, site, input, output, config = {} }: LinkOptions) {
    this.mux = new Mux({ role, input, output, config });
    this.transport = createTransport(() => this.mux.open());
    this.mux.listen((stream) => site.serve(stream));
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
  async openStream(name: string, timeout = OPEN_TIMEOUT): Promise<Duplex> {
    return openStream(this.mux, name, timeout);
  }

  /** Refuses new streams, lets the open ones end for `timeout` milliseconds at most, and closes. */
  async close(timeout = CLOSE_TIMEOUT): Promise<void> {
    this.mux.goAway();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeout);
    });
    await Promise.race([this.mux.idle(), late]);
    clearTimeout(timer);
    await this.mux.close();
  }
}

export async function openStream(mux: Pick<Mux, "open">, name: string, timeout = OPEN_TIMEOUT): Promise<Duplex> {
  try {
    return await upgrade({
      connect: () => mux.open(),
      path: STREAM_PREFIX + encodeURIComponent(name),
      headers: { Host: "unix", Connection: "Upgrade", Upgrade: STREAM_PROTOCOL },
      timeout,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StreamRefused(`the raw stream ${JSON.stringify(name)} could not be opened: ${reason}`, { cause: error });
  }
}

/** The connection over inherited descriptors: one socket where both are the same, two one-way pipes otherwise. */
export function inherit(readFd: number, writeFd: number): Ends {
  if (readFd === writeFd) {
    const socket = new Socket({ fd: readFd, readable: true, writable: true });
    return { input: socket, output: socket };
  }
  return {
    input: new Socket({ fd: readFd, readable: true, writable: false }),
    output: new Socket({ fd: writeFd, readable: false, writable: true }),
  };
}
