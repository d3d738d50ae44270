import type { Duplex } from "node:stream";
import type { DescService } from "@bufbuild/protobuf";
import type { Client, Transport } from "@connectrpc/connect";
import type { Logger } from "./log.js";
import type { Lent } from "./references.js";
import type { RemoteObject } from "./remote.js";

/** The runtime, as its plugin sees it. The same object is valid after the plugin has reconnected. */
export interface Host {
  /** The Connect transport to the runtime's services. A call without a link fails with "unavailable". */
  readonly transport: Transport;
  /** A client of a service that the runtime serves. */
  client<Service extends DescService>(service: Service): Client<Service>;
  /**
   * Opens a raw stream to an endpoint that the runtime serves; `end()` half-closes it. Listen to its "error" event.
   *
   * @throws StreamRefused when the runtime serves no such endpoint.
   */
  openStream(name: string): Promise<Duplex>;
  /**
   * Serves an object that only the runtime can call, until it is withdrawn, the runtime releases it or the link ends.
   *
   * @returns the reference to put into a message.
   * @throws SessionClosedError when there is no link.
   */
  lend(object: Lent): string;
  /** Stops serving an object, and waits for its `onRelease`. Calls that are being served continue. */
  withdraw(reference: string): Promise<void>;
  /** The object that the runtime has lent under a reference. Its calls fail with "not found" when it has ended. */
  at(reference: string): RemoteObject;
  /** The configuration in the answer to the registration, as JSON; empty if there is none. */
  readonly configurationJson: string;
  /** The protocol version that the runtime chose at registration; 0 before. */
  readonly protocolVersion: number;
  /** Sends log records to the runtime. */
  readonly log: Logger;
  /** Reports whether a service is ready, by its full name; "" is the whole plugin. At first everything is ready. */
  setHealth(service: string, serving: boolean): void;
}
