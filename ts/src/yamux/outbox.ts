import type { Event } from "./events.js";
import { encodeHeader, Flag, FrameType, HEADER_SIZE, INITIAL_WINDOW } from "./frame.js";
import type { StreamState } from "./state.js";

/** The most data in one frame, so that a bulk stream does not keep the others waiting. */
export const MAX_FRAME = 64 * 1024;
/** Where no other stream waits: a message of 64 KiB and its head are one frame. */
const MAX_LONE_FRAME = 128 * 1024;

/** The most replies (pongs, refusals) that may be queued while the peer does not read. */
const MAX_ANSWERS = 65_536;

/**
 * What a session has to send. `take` makes frames of it: control frames first; then, round robin, one frame of each
 * stream that has something to send and window to send it in. SYN and ACK ride on what goes out anyway. What no one waits
 * for is deferred: it goes out with the next frame, or when `flushDeferred` says so.
 */
export class Outbox {
  readonly #tell: (event: Event) => void;
  readonly #finish: (stream: StreamState) => void;
  #control: Buffer[] = [];
  #answers = 0;
  #isClosed = false;
  #deferredFrames: Buffer[] = [];
  readonly #deferredAcks = new Set<StreamState>();
  /** The streams with something to send, in round-robin order. */
  readonly #ready = new Set<StreamState>();

  /**
   * @param tell receives the events that sending causes.
   * @param finish is called when the FIN of a stream has been sent.
   */
  constructor(tell: (event: Event) => void, finish: (stream: StreamState) => void) {
    this.#tell = tell;
    this.#finish = finish;
  }

  get isEmpty(): boolean {
    return this.#control.length === 0 && this.#ready.size === 0;
  }

  get deferred(): number {
    return this.#deferredAcks.size + this.#deferredFrames.length;
  }

  control(type: number, flags: number, streamId: number, length: number): void {
    if (!this.#isClosed) this.#control.push(encodeHeader(type, flags, streamId, length));
  }

  /** Queues a reply; returns false if the peer requests more than it reads. */
  answer(type: number, flags: number, streamId: number, length: number): boolean {
    this.#answers += 1;
    this.control(type, flags, streamId, length);
    return this.#answers <= MAX_ANSWERS;
  }

  /** Defers the FIN that answers a FIN. */
  deferFin(stream: StreamState): void {
    if (!this.#isClosed) this.#deferredFrames.push(encodeHeader(FrameType.windowUpdate, Flag.fin, stream.id, 0));
  }

  /** Defers the ACK of a stream, unless there is credit to tell for what was read before the stream was accepted. */
  deferAck(stream: StreamState): void {
    if (!this.#isClosed) this.#deferredAcks.add(stream);
    if (isCreditDue(stream)) this.ready(stream);
  }

  ready(stream: StreamState): void {
    if (!this.#isClosed) this.#ready.add(stream);
  }

  forget(stream: StreamState): void {
    this.#ready.delete(stream);
    this.#deferredAcks.delete(stream);
  }

  /** Drops what is queued and accepts nothing more. If `code` is given, a go-away with it is the last frame. */
  close(code?: number): void {
    this.#control = [];
    this.#deferredFrames = [];
    this.#deferredAcks.clear();
    this.#ready.clear();
    if (code !== undefined) this.control(FrameType.goAway, 0, 0, code);
    this.#isClosed = true;
  }

  flushDeferred(): void {
    this.#control.push(...this.#deferredFrames);
    this.#deferredFrames = [];
    for (const stream of this.#deferredAcks) this.#ready.add(stream);
  }

  /** Returns what to write to the connection. No frame is begun after `limit` bytes. */
  take(limit: number): Uint8Array[] {
    if (this.isEmpty) return [];
    const chunks: Uint8Array[] = [...this.#control, ...this.#deferredFrames];
    this.#control = [];
    this.#deferredFrames = [];
    this.#answers = 0;
    let size = chunks.length * HEADER_SIZE;
    for (const stream of this.#ready) {
      if (size >= limit) break;
      this.#ready.delete(stream);
      size += this.#putFrame(stream, chunks, this.#ready.size > 0 ? MAX_FRAME : MAX_LONE_FRAME);
    }
    return chunks;
  }

  /** Advances the handshake for the next frame of a stream, and returns the flag for that frame. */
  takeHandshakeFlag(stream: StreamState): number {
    switch (stream.handshake) {
      case "synPending":
        stream.handshake = "synSent";
        return Flag.syn;
      case "ackPending":
        stream.handshake = "established";
        this.#deferredAcks.delete(stream);
        return Flag.ack;
      default:
        return 0;
    }
  }

  #putFrame(stream: StreamState, chunks: Uint8Array[], most: number): number {
    let flags = this.takeHandshakeFlag(stream);
    const announced = flags && stream.receiving === "open" ? credit(stream) : 0;
    if (announced > 0) {
      stream.consumed = 0;
      stream.receiveWindow += announced;
      chunks.push(encodeHeader(FrameType.windowUpdate, flags, stream.id, announced));
      flags = 0;
    }
    const size = Math.min(stream.pendingSize, stream.sendWindow, most);
    const isLast = stream.sending === "ending" && stream.pendingSize === size;
    if (size > 0) {
      chunks.push(encodeHeader(FrameType.data, flags, stream.id, size));
      takePayload(stream, size, chunks);
      flags = 0;
    }
    // Not on the data frame: hashicorp/yamux tells its reader of the FIN before it has stored the data of the frame,
    // and a reader that is quick takes that for the end.
    if (isLast) flags |= Flag.fin;
    if (flags) chunks.push(encodeHeader(FrameType.windowUpdate, flags, stream.id, 0));
    if (stream.pendingSize <= stream.notifyAt) {
      stream.notifyAt = -1;
      this.#tell({ type: "drained", stream });
    }
    if (flags & Flag.fin) this.#finish(stream);
    else if (stream.pendingSize > 0 && stream.sendWindow > 0) this.#ready.add(stream);
    return HEADER_SIZE + size;
  }
}

const isCreditDue = ({ consumed }: StreamState): boolean => consumed * 2 >= INITIAL_WINDOW;

/** The credit that goes with the handshake: the window beyond the default one, and what has been read already. */
function credit(stream: StreamState): number {
  const growth = stream.window - INITIAL_WINDOW;
  return growth > 0 || isCreditDue(stream) ? growth + stream.consumed : 0;
}

/** Moves `size` bytes from the queue of a stream to `chunks`. */
function takePayload(stream: StreamState, size: number, chunks: Uint8Array[]): void {
  stream.pendingSize -= size;
  stream.sendWindow -= size;
  let left = size;
  let taken = 0;
  for (const [index, chunk] of stream.pending.entries()) {
    if (chunk.length > left) {
      if (left > 0) chunks.push(chunk.subarray(0, left));
      stream.pending[index] = chunk.subarray(left);
      break;
    }
    chunks.push(chunk);
    left -= chunk.length;
    taken += 1;
  }
  stream.pending.splice(0, taken);
}
