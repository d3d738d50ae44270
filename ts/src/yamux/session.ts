/**
 * A yamux session without I/O: bytes in, events out; writes in, bytes out.
 *
 * Incoming: `receive` walks the bytes frame by frame. Each check is made on the header, before a byte of payload is
 * taken, and payload goes on without waiting for its frame to be complete.
 *
 * Outgoing: what is sent is queued, and `take` makes frames of it: control frames first; then, round robin, one frame
 * of each stream that has something to send and window to send it in. SYN and ACK ride on what goes out anyway. What
 * no one waits for (a lone ACK, the FIN that answers a FIN) is deferred until `flushDeferred`, or until another frame
 * goes out.
 *
 * Faults: what the peer does wrong never throws here. A fault of one stream resets that stream, any other ends the
 * session with a go-away and a `closed` event that names the frame and the rule. Calls throw only for what the caller
 * did wrong, or because the session or the stream has ended.
 *
 * There is no clock: whoever drives the session passes the time of each input, and owns all time limits.
 */

import { GoAwayError, ProtocolViolation, SessionClosedError, StreamResetError } from "../errors.js";
import { type Config, defaultConfig } from "./config.js";
import type { Event } from "./events.js";
import { describe, faultOf, Flag, FrameType, GoAwayCode, type Header, INITIAL_WINDOW, MAX_UINT32 } from "./frame.js";
import { WindowGrowth } from "./growth.js";
import { PeerIds } from "./ids.js";
import { MAX_FRAME, Outbox } from "./outbox.js";
import { FrameParser } from "./parser.js";
import { Pings } from "./pings.js";
import { PendingOpens } from "./pendingOpens.js";
import { type Handshake, StreamState } from "./state.js";

export type Role = "client" | "server";

const GO_AWAY_REASONS: Readonly<Record<number, string>> = {
  [GoAwayCode.protocolError]: "a protocol error",
  [GoAwayCode.internalError]: "an internal error",
};

/** The handshakes of our streams that the peer has not accepted. */
const UNACKNOWLEDGED: ReadonlySet<Handshake> = new Set(["held", "synPending", "synSent"]);

export class Session {
  /** The streams that have not ended, by id. */
  readonly streams = new Map<number, StreamState>();
  /** Why the session has ended; undefined while it has not. */
  error: SessionClosedError | undefined;
  localGoAway = false;
  remoteGoAway = false;

  readonly #config: Config;
  #now: number;
  #nextId: number;
  readonly #peerIds: PeerIds;
  #peerStreams = 0;
  #unread = 0;
  #events: Event[] = [];
  readonly #growth: WindowGrowth;

  readonly #parser = new FrameParser();
  #payloadStream: StreamState | undefined;
  #payloadEnds = false;

  readonly #outbox = new Outbox(
    (event) => this.#events.push(event),
    (stream) => this.#finish(stream),
  );
  readonly #pendingOpens: PendingOpens;
  /** The peer's streams that wait to be accepted here. */
  #unaccepted = 0;

  readonly #pings = new Pings();
  #roundTripPing: number | undefined;

  constructor(role: Role, config: Config = defaultConfig, now = 0) {
    this.#config = config;
    this.#now = now;
    this.#nextId = role === "client" ? 1 : 2;
    this.#peerIds = new PeerIds(role === "client" ? 2 : 1);
    this.#growth = new WindowGrowth(config);
    this.#pendingOpens = new PendingOpens(config.acceptBacklog, (stream) => {
      stream.handshake = "synPending";
      this.#outbox.ready(stream);
    });
  }

  /**
   * Opens a stream. Its SYN rides on the first frame, so that it can be written to at once; while the peer's backlog
   * is full, all of it is held back until the peer has accepted another stream.
   */
  open(): StreamState {
    this.#checkRunning();
    if (this.remoteGoAway) throw new GoAwayError("cannot open a stream: the peer has said go-away");
    if (this.#nextId > MAX_UINT32) throw new GoAwayError("cannot open a stream: the session has used up its ids");
    const stream = new StreamState(this.#nextId, "held", this.#now);
    this.#nextId += 2;
    this.streams.set(stream.id, stream);
    this.#widen(stream);
    this.#pendingOpens.add(stream);
    return stream;
  }

  /** Accepts a stream that the peer opened. */
  accept(stream: StreamState): void {
    if (stream.handshake !== "offered") return;
    stream.handshake = "ackPending";
    this.#unaccepted -= 1;
    this.#outbox.deferAck(stream);
    this.#widen(stream);
  }

  /** Queues bytes; they are not copied and must not be changed until they are out. */
  send(stream: StreamState, data: Uint8Array): void {
    if (stream.sending !== "open") throw new StreamResetError(`stream ${stream.id} is closed for writing`);
    if (data.length === 0) return;
    stream.pending.push(data);
    stream.pendingSize += data.length;
    this.#makeReady(stream);
  }

  /** Ends our half: FIN follows the last byte that was queued. */
  end(stream: StreamState): void {
    if (stream.sending !== "open") return;
    stream.sending = "ending";
    if (stream.receiving === "ended" && stream.handshake === "established" && stream.pendingSize === 0) {
      this.#outbox.deferFin(stream);
      this.#finish(stream);
    } else {
      this.#makeReady(stream);
    }
  }

  /** Ends both halves at once and drops what is queued. */
  reset(stream: StreamState): void {
    if (this.streams.get(stream.id) !== stream) return;
    const isKnownToPeer = stream.handshake !== "held" && stream.handshake !== "synPending";
    this.#forget(stream);
    if (isKnownToPeer) this.#outbox.control(FrameType.windowUpdate, Flag.rst, stream.id, 0);
  }

  /** Reports that the reader has taken `size` bytes; the peer has credit for them once it is worth a frame. */
  consume(stream: StreamState, size: number): void {
    if (this.streams.get(stream.id) !== stream) return;
    stream.unread -= size;
    this.#unread -= size;
    stream.consumed += size;
    if (stream.consumed * 2 >= stream.window && stream.receiving === "open") this.#credit(stream);
  }

  /** Queues a ping and gives its value, which comes back in a `pong`. */
  ping(): number {
    this.#checkRunning();
    const value = this.#pings.ask(this.#now);
    this.#outbox.control(FrameType.ping, Flag.syn, 0, value);
    return value;
  }

  forgetPing(value: number): void {
    this.#pings.forget(value);
  }

  /** Refuses new streams from now on, and tells the peer; open streams go on. */
  goAway(code: GoAwayCode = GoAwayCode.normal): void {
    if (this.error || this.localGoAway) return;
    this.localGoAway = true;
    this.#outbox.control(FrameType.goAway, 0, 0, code);
  }

  /** Takes bytes from the connection, at the time `now`. */
  receive(data: Buffer, now: number): void {
    if (this.error) return;
    this.#now = now;
    try {
      this.#parser.feed(data, { header: this.#header, payload: this.#payload });
    } catch (error) {
      if (!(error instanceof SessionClosedError)) throw error;
      this.#end(error);
    }
  }

  /** Takes note that the connection has ended on the peer's side, with or without a go-away. */
  receiveEnd(): void {
    if (this.error) return;
    this.#end(
      this.#parser.isWithinFrame
        ? new ProtocolViolation("the connection ended within a frame")
        : new SessionClosedError("the peer closed the connection"),
    );
  }

  /** Sets the time for what is queued outside of `receive`. */
  advance(now: number): void {
    this.#now = now;
  }

  /** Gives the events since the last call. */
  events(): Event[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  get wantsToSend(): boolean {
    return !this.#outbox.isEmpty;
  }

  /** How many frames are deferred because no one waits for them. */
  get deferred(): number {
    return this.#outbox.deferred;
  }

  /** Lets `take` give what was deferred. */
  flushDeferred(): void {
    this.#outbox.flushDeferred();
  }

  /** Gives what is to be written to the connection; no frame is begun after `limit` bytes. */
  take(limit = MAX_FRAME): Uint8Array[] {
    return this.#outbox.take(limit);
  }

  // Incoming. The two arrows are the sink of the parser; they throw what ends the session.

  readonly #header = (header: Header): number => {
    const fault = faultOf(header);
    if (fault) throw violation(header, fault);
    if (header.type <= FrameType.windowUpdate) return this.#streamFrame(header);
    if (header.type === FrameType.ping) this.#ping(header);
    else this.#goAway(header);
    return 0;
  };

  readonly #payload = (data: Buffer, last: boolean): void => {
    const stream = this.#payloadStream;
    if (!stream || stream.receiving === "ended") return;
    stream.unread += data.length;
    this.#unread += data.length;
    this.#events.push({ type: "data", stream, data });
    if (last && this.#payloadEnds) this.#receiveFin(stream);
    else if (this.#unread > this.#config.maxUnread) this.#refuse(stream, "too much of the session's data is unread");
  };

  #streamFrame(header: Header): number {
    const { type, flags, streamId, length } = header;
    const stream = flags & Flag.syn ? this.#receiveSyn(header) : this.streams.get(streamId);
    if (!stream && !this.#wasOpened(streamId)) throw violation(header, "the stream was never opened");
    const payload = type === FrameType.data ? length : 0;
    const allowed = stream ? stream.receiveWindow : this.#config.maxStreamWindowSize;
    if (payload > allowed) throw violation(header, `the window has ${allowed} bytes left`);
    this.#payloadStream = stream;
    this.#payloadEnds = (flags & Flag.fin) !== 0;
    if (!stream) return payload;
    if (flags & Flag.ack) this.#receiveAck(stream);
    if (flags & Flag.rst) {
      this.#forget(stream);
      const error = new StreamResetError(`stream ${streamId} was reset by the peer`);
      this.#events.push({ type: "reset", stream, error });
    } else if (stream.receiving === "ended" && (type === FrameType.data || this.#payloadEnds)) {
      this.#refuse(stream, `${describe(header)}: it follows the FIN of the stream`);
    } else {
      if (type === FrameType.data) stream.receiveWindow -= length;
      else this.#receiveCredit(stream, header);
      if (this.#payloadEnds && payload === 0) this.#receiveFin(stream);
    }
    return payload;
  }

  #wasOpened(id: number): boolean {
    return this.#peerIds.owns(id) ? this.#peerIds.isUsed(id) : id > 0 && id < this.#nextId;
  }

  #receiveSyn(header: Header): StreamState | undefined {
    const { type, flags, streamId, length } = header;
    if (!this.#peerIds.owns(streamId)) throw violation(header, "the id is not one of the peer's");
    if (this.#peerIds.isUsed(streamId)) throw violation(header, "the id has been used");
    this.#peerIds.use(streamId);
    if (type === FrameType.data && length > INITIAL_WINDOW) {
      throw violation(header, `the window of a new stream has ${INITIAL_WINDOW} bytes`);
    }
    if (flags & Flag.rst) return undefined;
    const { acceptBacklog, maxStreams } = this.#config;
    if (this.localGoAway || this.#unaccepted >= acceptBacklog || this.#peerStreams >= maxStreams) {
      this.#answer(header, FrameType.windowUpdate, Flag.rst, streamId, 0);
      return undefined;
    }
    const stream = new StreamState(streamId, "offered", this.#now);
    this.streams.set(streamId, stream);
    this.#unaccepted += 1;
    this.#peerStreams += 1;
    this.#events.push({ type: "opened", stream });
    return stream;
  }

  #receiveAck(stream: StreamState): void {
    if (stream.handshake !== "synSent") return;
    stream.handshake = "established";
    this.#pendingOpens.remove(stream);
    this.#events.push({ type: "acknowledged", stream });
  }

  #receiveCredit(stream: StreamState, header: Header): void {
    const window = stream.sendWindow + header.length;
    if (window > MAX_UINT32) {
      throw violation(header, `with ${stream.sendWindow} bytes left it passes the maximum of ${MAX_UINT32}`);
    }
    stream.sendWindow = window;
    if (stream.pendingSize > 0) this.#makeReady(stream);
  }

  #receiveFin(stream: StreamState): void {
    stream.receiving = "ended";
    this.#events.push({ type: "ended", stream });
    if (stream.sending === "ended") this.#forget(stream);
  }

  #ping(header: Header): void {
    const { flags, length: value } = header;
    if (flags === Flag.syn) return this.#answer(header, FrameType.ping, Flag.ack, 0, value);
    const roundTrip = this.#pings.answer(value, this.#now);
    if (roundTrip === undefined) return;
    this.#growth.measured(roundTrip);
    if (value === this.#roundTripPing) this.#roundTripPing = undefined;
    else this.#events.push({ type: "pong", ping: value, roundTrip });
  }

  #goAway(header: Header): void {
    if (header.length !== GoAwayCode.normal) {
      const reason = GO_AWAY_REASONS[header.length] ?? `the unknown code ${header.length}`;
      throw new SessionClosedError(`the peer ended the session for ${reason}`);
    }
    this.remoteGoAway = true;
    this.#events.push({ type: "goAway" });
  }

  #answer(asked: Header, type: number, flags: number, streamId: number, length: number): void {
    if (this.#outbox.answer(type, flags, streamId, length)) return;
    throw violation(asked, "the peer asks for more than it reads");
  }

  #credit(stream: StreamState): void {
    if (this.error || stream.handshake === "offered") return;
    const isUnmeasured = this.#growth.roundTrip === undefined && this.#roundTripPing === undefined;
    if (isUnmeasured && this.#growth.mayGrow(stream.window)) this.#roundTripPing = this.ping();
    const flags = this.#outbox.takeHandshakeFlag(stream);
    this.#outbox.control(FrameType.windowUpdate, flags, stream.id, this.#growth.credit(stream, this.#now));
  }

  // The life of a stream.

  #widen(stream: StreamState): void {
    stream.window = this.#growth.take(INITIAL_WINDOW, this.#config.streamWindowSize);
  }

  #makeReady(stream: StreamState): void {
    if (stream.handshake !== "held" && stream.handshake !== "offered") this.#outbox.ready(stream);
  }

  #finish(stream: StreamState): void {
    stream.sending = "ended";
    this.#events.push({ type: "finished", stream });
    if (stream.receiving === "ended") this.#forget(stream);
  }

  /** Resets a stream for a fault of the peer. */
  #refuse(stream: StreamState, reason: string): void {
    this.#events.push({
      type: "reset",
      stream,
      error: new StreamResetError(`stream ${stream.id} was reset: ${reason}`),
    });
    this.reset(stream);
  }

  /** Ends what is left of a stream and takes back all that it held. */
  #forget(stream: StreamState): void {
    this.streams.delete(stream.id);
    this.#outbox.forget(stream);
    this.#growth.giveBack(stream.window - INITIAL_WINDOW);
    this.#unread -= stream.unread;
    if (this.#peerIds.owns(stream.id)) this.#peerStreams -= 1;
    if (stream.handshake === "offered") this.#unaccepted -= 1;
    else if (UNACKNOWLEDGED.has(stream.handshake)) this.#pendingOpens.remove(stream);
    stream.handshake = "established";
    stream.sending = stream.receiving = "ended";
    stream.pending.length = stream.pendingSize = stream.unread = 0;
  }

  #checkRunning(): void {
    if (this.error) throw new SessionClosedError(`the session has ended: ${this.error.message}`, { cause: this.error });
  }

  /** Ends the session; of what was queued, nothing goes out any more but the go-away that tells the peer its fault. */
  #end(error: SessionClosedError): void {
    this.error = error;
    const isFaultToTell = error instanceof ProtocolViolation && !this.#parser.isWithinFrame;
    this.#outbox.close(isFaultToTell ? GoAwayCode.protocolError : undefined);
    this.#events.push({ type: "closed", error });
  }
}

function violation(header: Header, rule: string): ProtocolViolation {
  return new ProtocolViolation(`${describe(header)}: ${rule}`);
}
