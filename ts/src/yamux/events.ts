import type { SessionClosedError, StreamResetError } from "../errors.js";
import type { StreamState } from "./state.js";

/** The events that a session reports to its mux. */
export type Event =
  /** The peer opened a stream, which now waits for `accept`. */
  | { readonly type: "opened"; readonly stream: StreamState }
  /** The peer accepted a stream that was opened here. */
  | { readonly type: "acknowledged"; readonly stream: StreamState }
  /** Data has arrived. Call `consume` when it has been read. */
  | { readonly type: "data"; readonly stream: StreamState; readonly data: Buffer }
  /** The peer half-closed the stream: no more bytes come. */
  | { readonly type: "ended"; readonly stream: StreamState }
  /** The number of queued bytes on the stream has fallen to its `notifyAt`. */
  | { readonly type: "drained"; readonly stream: StreamState }
  /** The FIN of the stream has been sent, after everything that was written. */
  | { readonly type: "finished"; readonly stream: StreamState }
  /** The stream was reset, by the peer or because of a fault of the peer. */
  | { readonly type: "reset"; readonly stream: StreamState; readonly error: StreamResetError }
  /** The peer answered a ping, `roundTrip` milliseconds after it was queued. */
  | { readonly type: "pong"; readonly ping: number; readonly roundTrip: number }
  /** The peer takes no new streams; those that are open go on. */
  | { readonly type: "goAway" }
  /** The session has ended: write what `take` still returns, then close the connection. */
  | { readonly type: "closed"; readonly error: SessionClosedError };
