/**
 * What a session knows of one stream: a handshake, and two halves.
 *
 * ```text
 * opened here       held ── room in the peer's backlog ──> synPending ── first frame out ──> synSent ── ACK ──> established
 * by the peer       offered ── accepted here ──> ackPending ── next frame out ──> established
 *
 * sending half      open ── nothing more will be written ──> ending ── FIN out ──> ended
 * receiving half    open ── FIN in ──> ended
 * ```
 *
 * RST, in either direction, ends both halves at once. With both ended the session forgets the stream.
 */

import { INITIAL_WINDOW } from "./frame.js";

export type Handshake = "held" | "synPending" | "synSent" | "offered" | "ackPending" | "established";

/** The handshakes of our streams that the peer has not accepted. */
export const UNACKNOWLEDGED: ReadonlySet<Handshake> = new Set(["held", "synPending", "synSent"]);

export type SendingHalf = "open" | "ending" | "ended";

export type ReceivingHalf = "open" | "ended";

/** The state of one stream; only its session writes it. */
export class StreamState {
  sending: SendingHalf = "open";
  receiving: ReceivingHalf = "open";
  /** Chunks queued for sending, and how many bytes they are. */
  readonly pending: Uint8Array[] = [];
  pendingSize = 0;
  /** A `drained` event is reported once when `pendingSize` has fallen to this; -1 for none. */
  notifyAt = -1;
  /** The send window: bytes that the peer allows us to send. */
  sendWindow = INITIAL_WINDOW;
  /** The receive window: bytes that the peer may send. */
  receiveWindow = INITIAL_WINDOW;
  /** The size to which the receive window is refilled. */
  window = INITIAL_WINDOW;
  /** Bytes that the stream is counted for in the memory of its session. */
  held = 0;
  /** Bytes that the reader has consumed and for which no credit has been sent. */
  consumed = 0;
  /** Bytes that the peer has been given credit for, growth of the window apart. */
  credited = 0;

  constructor(
    readonly id: number,
    public handshake: Handshake,
    /** When credit was last sent; window growth depends on it. */
    public creditedAt: number,
  ) {}
}
