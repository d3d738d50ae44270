import type { Duplex } from "node:stream";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { ReferenceService } from "../../gen/ts/plugmux/v1/reference_pb.js";
import { STREAM_PREFIX, STREAM_PROTOCOL } from "./app.js";
import { StreamRefused } from "./errors.js";
import { errorMessage } from "./errorMessage.js";
import { pathOf } from "./references.js";
import { createTransport } from "./transport.js";
import { upgrade } from "./upgrade.js";

const OPEN_TIMEOUT = 10_000;
/** Milliseconds that the peer has to clean up behind an object. */
const RELEASE_TIMEOUT = 10_000;

/** An object that the peer has lent. */
export class RemoteObject {
  /** The Connect transport to the services of the object. */
  readonly transport: Transport;
  readonly #reference: string;
  readonly #open: () => Duplex;

  /**
   * @param reference what stood in the peer's message.
   * @param open opens a stream to the peer.
   * @param maxMessageBytes the most bytes that a message of an answer may have; 4 MiB by default.
   */
  constructor(reference: string, open: () => Duplex, maxMessageBytes?: number) {
    this.transport = createTransport(open, pathOf(reference), maxMessageBytes);
    this.#reference = reference;
    this.#open = open;
  }

  /** A client of a service of the object. */
  client<Service extends DescService>(service: Service): Client<Service> {
    return createClient(service, this.transport);
  }

  /** Opens a raw stream to the object; see `Link.openStream`. */
  async openStream(name: string, timeout?: number): Promise<Duplex> {
    return openStream(this.#open, name, timeout, pathOf(this.#reference));
  }

  /** Tells the peer that the object is no longer needed, and waits for its clean-up. Does nothing if it has ended. */
  async release(): Promise<void> {
    const references = createClient(ReferenceService, createTransport(this.#open));
    try {
      await references.release({ reference: this.#reference }, { timeoutMs: RELEASE_TIMEOUT });
    } catch (error) {
      // Where the link has ended, so has the object.
      if (ConnectError.from(error).code !== Code.Unavailable) throw error;
    }
  }
}

/** Opens a raw stream to what the peer serves under a name, beneath a path. */
export async function openStream(open: () => Duplex, name: string, timeout = OPEN_TIMEOUT, path = ""): Promise<Duplex> {
  try {
    return await upgrade({
      connect: open,
      path: path + STREAM_PREFIX + encodeURIComponent(name),
      headers: { Host: "unix", Connection: "Upgrade", Upgrade: STREAM_PROTOCOL },
      timeout,
    });
  } catch (error) {
    throw new StreamRefused(`the raw stream ${JSON.stringify(name)} could not be opened: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}
