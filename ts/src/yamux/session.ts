/**
 * A yamux session without I/O: bytes in, events out; writes in, bytes out.
 *
 * Incoming: `receive` walks the bytes frame by frame. Each check is made on the header, before a byte of payload is
 * taken, and payload goes on without waiting for its frame to be complete.
 *
 * Outgoing: what is sent is queued, and `take` makes frames of it, as outbox.ts says. What no one waits for (a lone ACK,
 * the FIN that answers a FIN) is deferred until `flushDeferred`, or until another frame goes out.
 *
 * Faults: what the peer does wrong never throws here. A fault of one stream resets that stream, any other ends the
 * session with a go-away and a `closed` event that names the frame and the rule. Calls throw only for what the caller
 * did wrong, or because the session or the stream has ended.
 *
 * There is no clock: whoever drives the session passes the time of each input, and owns all time limits.
 */

import { GoAwayError, ProtocolViolation, SessionClosedError, StreamResetError } from "../errors.js";
import { type Config, defaultConfig } from "./config.js";
import { Credits } from "./credits.js";
import type { Event } from "./events.js";
import {
  describe,
  faultOf,
  Flag,
  FrameType,
  GoAwayCode,
  goAwayReason,
  type Header,
  MAX_UINT32,
  violation,
} from "./frame.js";
import { FloodLimits, isIdle } from "./floods.js";
import { MAX_FRAME, Outbox } from "./outbox.js";
import { FrameParser } from "./parser.js";
import { PeerStreams } from "./peerStreams.js";
import { Pings } from "./pings.js";
import { PendingOpens } from "./pendingOpens.js";
import { StreamState, UNACKNOWLEDGED } from "./state.js";

export type Role = "client" | "server";

export class Session {
  /** The streams that have not ended, by id. */
  readonly streams = new Map<number, StreamState>();
  /** Why the session has ended; undefined while it has not. */
  error: SessionClosedError | undefined;
  localGoAway = false;
  remoteGoAway = false;
  /** Whether streams of the peer are accepted as their SYNs are read, so that they do not fill the backlog. */
  acceptsAtOnce = false;
  readonly credits: Credits;
  readonly peerStreams: PeerStreams;
  /** Frames that have been read. */
  frames = 0;

  readonly #config: Config;
  #now: number;
  #nextId: number;
  readonly #floods: FloodLimits;
  #events: Event[] = [];
  readonly #parser = new FrameParser();
  #payloadStream: StreamState | undefined;
  #payloadEnds = false;
  readonly #outbox = new Outbox(
    (event) => this.#events.push(event),
    (stream) => this.#finish(stream),
  );
  readonly #pendingOpens: PendingOpens;
  readonly #pings = new Pings();

  constructor(role: Role, config: Config = defaultConfig, now = 0) {
    this.#config = config;
    this.#now = now;
    this.#nextId = role === "client" ? 1 : 2;
    this.credits = new Credits(config, (stream) => this.#credit(stream));
    this.peerStreams = new PeerStreams(role === "client" ? 2 : 1, config, this.credits.memory);
    this.#floods = new FloodLimits(config, this.peerStreams.ids);
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
    this.credits.begin(stream);
    this.#pendingOpens.add(stream);
    return stream;
  }

  /** Accepts a stream that the peer opened. */
  accept(stream: StreamState): void {
    if (stream.handshake !== "offered") return;
    stream.handshake = "ackPending";
    this.peerStreams.accepted();
    this.#outbox.deferAck(stream);
    this.credits.begin(stream);
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
    if (!isKnownToPeer) return;
    this.#floods.resetHere();
    this.#outbox.control(FrameType.windowUpdate, Flag.rst, stream.id, 0);
  }

  /** Reports that the reader has taken `size` bytes; the peer has credit for them once it is worth a frame. */
  consume(stream: StreamState, size: number): void {
    if (this.streams.get(stream.id) !== stream) return;
    this.credits.consume(stream, size);
  }

  /** Reports that more or fewer consumed bytes are still held, such as those of an unfinished body. */
  keep(stream: StreamState, change: number): void {
    if (this.streams.get(stream.id) !== stream) return;
    if (!this.credits.keep(stream, change)) this.#refuse(stream, this.credits.memory.rule);
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

  /** Processes bytes from the connection, received at the time `now`. */
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

  /** Handles the end of the connection on the peer's side, with or without a go-away. */
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

  /** Returns the events since the last call. */
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

  /** Lets `take` return deferred frames. */
  flushDeferred(): void {
    this.#outbox.flushDeferred();
  }

  /** Returns what to write to the connection. No frame is begun after `limit` bytes. */
  take(limit = MAX_FRAME): Uint8Array[] {
    return this.#outbox.take(limit);
  }

  // Incoming. The parser calls the two arrow functions; what they throw ends the session.

  readonly #header = (header: Header): number => {
    this.frames += 1;
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
    const hasRoom = this.credits.memory.count(stream, data.length);
    this.#events.push({ type: "data", stream, data });
    if (last && this.#payloadEnds) this.#receiveFin(stream);
    else if (!hasRoom) this.#refuse(stream, this.credits.memory.rule);
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
    if (!stream || isIdle(header)) this.#floods.idleFrame(this.#now);
    if (!stream) return payload;
    if (flags & Flag.ack) this.#receiveAck(stream);
    if (flags & Flag.rst) {
      this.#floods.streamReset(stream, this.#now);
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
    const { ids } = this.peerStreams;
    return ids.owns(id) ? ids.isUsed(id) : id > 0 && id < this.#nextId;
  }

  #receiveSyn(header: Header): StreamState | undefined {
    this.peerStreams.takeId(header);
    const stream = this.localGoAway ? undefined : this.peerStreams.add(header, this.#now);
    if (!stream) {
      this.#floods.uselessStream(this.#now);
      if (!(header.flags & Flag.rst)) this.#answer(header, FrameType.windowUpdate, Flag.rst, header.streamId, 0);
      return undefined;
    }
    this.streams.set(stream.id, stream);
    this.#events.push({ type: "opened", stream });
    if (this.acceptsAtOnce) this.accept(stream);
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
    this.#floods.streamEnded(stream, this.#now);
    if (stream.sending === "ended") this.#forget(stream);
  }

  #ping(header: Header): void {
    const { flags, length: value } = header;
    if (flags === Flag.syn) this.#answer(header, FrameType.ping, Flag.ack, 0, value);
    const answer = flags === Flag.syn ? undefined : this.#pings.answer(value, this.#now);
    if (!answer) return this.#floods.idleFrame(this.#now);
    const { roundTrip, isAskedFor } = answer;
    this.credits.growth.measured(roundTrip);
    if (isAskedFor) this.#events.push({ type: "pong", ping: value, roundTrip });
  }

  #goAway(header: Header): void {
    const reason = goAwayReason(header.length);
    if (reason) throw new SessionClosedError(`the peer ended the session for ${reason}`);
    this.#floods.idleFrame(this.#now);
    this.remoteGoAway = true;
    this.#events.push({ type: "goAway" });
  }

  #answer(asked: Header, type: number, flags: number, streamId: number, length: number): void {
    if (flags & Flag.rst) this.#floods.resetHere();
    if (this.#outbox.answer(type, flags, streamId, length)) return;
    throw violation(asked, "the peer asks for more than it reads");
  }

  #credit(stream: StreamState): void {
    if (this.error || stream.handshake === "offered") return;
    const { growth } = this.credits;
    if (growth.roundTrip === undefined && growth.mayGrow(stream.window)) {
      const ping = this.#pings.measure(this.#now);
      if (ping !== undefined) this.#outbox.control(FrameType.ping, Flag.syn, 0, ping);
    }
    const flags = this.#outbox.takeHandshakeFlag(stream);
    this.#outbox.control(FrameType.windowUpdate, flags, stream.id, this.credits.take(stream, this.#now));
  }

  // The life of a stream.

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
    this.credits.forget(stream);
    this.peerStreams.forget(stream);
    if (UNACKNOWLEDGED.has(stream.handshake)) this.#pendingOpens.remove(stream);
    stream.handshake = "established";
    stream.sending = stream.receiving = "ended";
    stream.pending.length = stream.pendingSize = 0;
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
