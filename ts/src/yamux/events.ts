import type { SessionClosedError, StreamResetError } from "../errors.js";
import type { StreamState } from "./state.js";

/** What a session tells the one who drives it. */
export type Event =
  /** The peer opened a stream, which now waits for `accept`. */
  | { readonly type: "opened"; readonly stream: StreamState }
  /** The peer accepted a stream that was opened here. */
  | { readonly type: "acknowledged"; readonly stream: StreamState }
  /** Bytes came; `consume` is to be told when they have been read. */
  | { readonly type: "data"; readonly stream: StreamState; readonly data: Buffer }
  /** The peer half-closed the stream: no more bytes come. */
  | { readonly type: "ended"; readonly stream: StreamState }
  /** The bytes queued on the stream have sunk to its `notifyAt`. */
  | { readonly type: "drained"; readonly stream: StreamState }
  /** The FIN of the stream has been put out, and with it all that was written. */
  | { readonly type: "finished"; readonly stream: StreamState }
  /** The stream ended at once, by the peer or for a fault of the peer. */
  | { readonly type: "reset"; readonly stream: StreamState; readonly error: StreamResetError }
  /** The peer answered a ping, `roundTrip` milliseconds after it was queued. */
  | { readonly type: "pong"; readonly ping: number; readonly roundTrip: number }
  /** The peer takes no new streams; those that are open go on. */
  | { readonly type: "goAway" }
  /** The session is over: put out what `take` still gives, then close the connection. */
  | { readonly type: "closed"; readonly error: SessionClosedError };
