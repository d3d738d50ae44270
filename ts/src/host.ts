import type { Duplex } from "node:stream";
import type { DescService } from "@bufbuild/protobuf";
import type { Client, Transport } from "@connectrpc/connect";
import type { Logger } from "./log.js";
import type { Lent } from "./references.js";
import type { Remote } from "./remote.js";

/** The runtime, as its plugin sees it; it stays the same when the plugin is linked to a runtime again. */
export interface Host {
  /** The Connect transport to the services that the runtime serves. */
  readonly transport: Transport;
  /** A client of a service that the runtime serves. */
  client<Service extends DescService>(service: Service): Client<Service>;
  /** Opens a raw stream to an endpoint that the runtime serves; `end()` half-closes it. Listen to its "error". */
  openStream(name: string): Promise<Duplex>;
  /**
   * Lends the runtime an object, until it is withdrawn, the runtime releases it or the link to it ends.
   *
   * @returns the reference, which goes into a message. The runtime alone can call the object by it.
   */
  lend(object: Lent): string;
  /** Takes an object back, and waits for its clean-up. Calls in flight go on to their end. */
  withdraw(reference: string): Promise<void>;
  /** The object that the runtime has lent; calls are "not found" when it is not, or not any more. */
  at(reference: string): Remote;
  /** The configuration that the runtime gave at registration, as a JSON object; empty when there is none. */
  readonly configurationJson: string;
  /** The protocol version that was chosen at registration; 0 before. */
  readonly protocolVersion: number;
  /** Hands log records to the runtime, with their level and fields. */
  readonly log: Logger;
  /** Tells the runtime whether a service, by its full name, is ready; "" is the plugin as a whole. All are at first. */
  setHealth(service: string, serving: boolean): void;
}
