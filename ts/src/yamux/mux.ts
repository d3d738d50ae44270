import type { Readable, Writable } from "node:stream";
import { SessionClosedError, SessionTimeout, StreamResetError } from "../errors.js";
import { type Clock, systemClock } from "./clock.js";
import { type Config, configure } from "./config.js";
import type { Event } from "./events.js";
import { PingWaiters } from "./pings.js";
import { type Role, Session } from "./session.js";
import type { StreamState } from "./state.js";
import { type Carrier, MuxStream } from "./stream.js";
import { KeepAlive, StreamTimers } from "./timers.js";
import { ConnectionWriter } from "./writer.js";

/** Bytes that are written to the connection at a time. */
const BATCH = 128 * 1024;

/** Frames that are processed before other callbacks of the event loop run. */
const FRAMES_PER_TURN = 2_000;

/** Milliseconds of silence after which the session ends, once the peer no longer reads. */
const BROKEN_LINGER = 1_000;

/** Milliseconds that the answer to a ping may take where the settings have no limit. */
const PING_TIMEOUT = 10_000;

/** Frames that no one waits for are deferred for this many milliseconds, or until this many are deferred. */
const DEFERRED_DELAY = 5;
const MAX_DEFERRED = 64;

/** How long data may still arrive on a stream that was closed here before the stream is reset. */
const LINGER = 1_000;

export interface MuxOptions {
  /** The client opens odd stream ids; a plugin is always the client. */
  readonly role: Role;
  /** The connection: one Duplex as both, or the two ends of two one-way pipes. It belongs to the mux from here on. */
  readonly input: Readable;
  readonly output: Writable;
  readonly config?: Partial<Config>;
  readonly clock?: Clock;
}

/** Runs a yamux session over a connection, and gives its streams as node streams. */
export class Mux {
  /** Resolves when the session has ended: with the reason, or undefined when `close` ended it in order. */
  readonly closed: Promise<SessionClosedError | undefined>;

  readonly #config: Config;
  readonly #clock: Clock;
  readonly #session: Session;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #streams = new Map<StreamState, MuxStream>();
  /** Timers of our streams that the peer has not accepted, and of streams closed here but not by the peer. */
  readonly #timers: StreamTimers;
  readonly #keepAlive: KeepAlive;
  readonly #pings: PingWaiters;
  #listener: ((stream: MuxStream) => void) | undefined;
  #backlog: MuxStream[] = [];
  #idle: (() => void)[] = [];

  #phase: "running" | "closing" | "over" = "running";
  #settle!: (reason: SessionClosedError | undefined) => void;
  #flushing: NodeJS.Immediate | undefined;
  readonly #writer: ConnectionWriter;
  /** Callbacks for when the connection has accepted the last batch. */
  #unwritten: Event[] = [];
  #stopBrokenTimer: (() => void) | undefined;
  #stopDeferredTimer: (() => void) | undefined;

  constructor({ role, input, output, config, clock = systemClock }: MuxOptions) {
    this.#config = configure(config);
    this.#clock = clock;
    this.#session = new Session(role, this.#config, clock.now());
    this.#input = input;
    this.#output = output;
    this.#timers = new StreamTimers(clock);
    this.#pings = new PingWaiters(clock, this.#config.connectionWriteTimeout || PING_TIMEOUT);
    this.#keepAlive = new KeepAlive(
      clock,
      this.#config,
      () => void this.ping().catch(() => {}), // Only silence ends the session; the answer itself does not matter.
      (silence) => this.#finish(new SessionTimeout(`the peer has been silent for ${silence / 1000} s`)),
    );
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#writer = new ConnectionWriter(output, clock, this.#config.connectionWriteTimeout, {
      written: () => this.#written(),
      stuck: () =>
        this.#finish(new SessionTimeout(`the peer has not read for ${this.#config.connectionWriteTimeout} ms`)),
      broken: (error) =>
        this.#broken(new SessionClosedError(`the connection failed: ${error.message}`, { cause: error })),
    });
    input.on("data", (chunk: Buffer) => this.#read(chunk));
    for (const event of ["end", "close"] as const) input.on(event, () => this.#receiveEnd());
    output.on("close", () => this.#broken(new SessionClosedError("the peer closed the connection")));
    for (const side of new Set<Readable | Writable>([input, output])) {
      side.on("error", (error) => {
        this.#finish(new SessionClosedError(`the connection failed: ${error.message}`, { cause: error }));
      });
    }
  }

  /** Why the session has ended; undefined while it has not. */
  get reason(): SessionClosedError | undefined {
    return this.#session.error;
  }

  get isClosed(): boolean {
    return this.#session.error !== undefined;
  }

  /** The streams that have not ended on both sides. */
  get streamCount(): number {
    return this.#session.streams.size;
  }

  /** Opens a stream, which can be written to at once. */
  open(): MuxStream {
    this.#session.advance(this.#clock.now());
    const state = this.#session.open();
    this.#timers.set(state, this.#config.streamOpenTimeout, () => this.#openTimedOut(state));
    this.#schedule();
    return this.#adopt(state);
  }

  /** Accepts the streams that the peer opens, those in the backlog included. */
  listen(listener: (stream: MuxStream) => void): void {
    this.#listener = listener;
    this.#session.acceptsAtOnce = true;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const stream of backlog) this.#accept(stream);
  }

  /** Measures the round trip to the peer, in milliseconds. */
  async ping(): Promise<number> {
    this.#session.advance(this.#clock.now());
    const value = this.#session.ping();
    this.#schedule();
    return this.#pings.wait(value, () => this.#session.forgetPing(value));
  }

  /** Refuses new streams from now on; open ones go on. */
  goAway(): void {
    this.#session.goAway();
    this.#schedule();
  }

  /** Resolves when no stream is open. */
  async idle(): Promise<void> {
    if (this.streamCount > 0 && !this.isClosed) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Sends a go-away, writes what is queued, and closes the connection. Open streams are cut off. */
  async close(): Promise<void> {
    if (this.#phase === "running") {
      this.#phase = "closing";
      this.#session.goAway();
      this.#session.flushDeferred();
      this.#flush();
      if (!this.#session.wantsToSend && !this.#writer.isBusy) this.#finish(undefined);
    }
    await this.closed;
  }

  /** Ends the session at once. */
  abort(reason = new SessionClosedError("the session was aborted")): void {
    this.#finish(reason);
  }

  /** Sets whether the plugin at either end has registered; until then the peer gets few streams, and little memory. */
  set isRegistered(isRegistered: boolean) {
    const { maxLinkMemory, maxUnregisteredMemory, maxStreams, maxUnregisteredStreams } = this.#config;
    const { credits, peerStreams } = this.#session;
    credits.memory.limit = isRegistered ? maxLinkMemory : Math.min(maxUnregisteredMemory, maxLinkMemory);
    peerStreams.limit = isRegistered ? maxStreams : Math.min(maxUnregisteredStreams, maxStreams);
  }

  /** Bytes that count against `maxLinkMemory` now. */
  get memoryHeld(): number {
    return this.#session.credits.memory.held;
  }

  /** Processes bytes that were read from the connection before the mux owned it. */
  feed(chunk: Buffer): void {
    this.#keepAlive.heard();
    this.#session.receive(chunk, this.#clock.now());
    this.#dispatch(this.#session.events());
    if (this.#session.wantsToSend || this.#session.deferred > 0) this.#schedule();
  }

  // Calls of streams.

  readonly #carrier: Carrier = {
    write: (state, data) => {
      this.#session.send(state, data);
      this.#schedule();
    },
    end: (state) => {
      this.#session.end(state);
      this.#schedule();
    },
    consume: (state, size) => {
      this.#session.advance(this.#clock.now());
      this.#session.consume(state, size);
      if (this.#session.wantsToSend) this.#schedule();
    },
    keep: (state, change) => {
      this.#session.keep(state, change);
      this.#dispatch(this.#session.events());
      this.#schedule();
    },
    release: (stream, reset) => {
      const { state } = stream;
      this.#streams.delete(state);
      this.#timers.clear(state);
      if (reset) this.#session.reset(state);
      else this.#linger(state, this.#config.streamCloseTimeout);
      this.#schedule();
    },
  };

  #adopt(state: StreamState): MuxStream {
    const stream = new MuxStream(this.#carrier, state);
    this.#streams.set(state, stream);
    return stream;
  }

  #accept(stream: MuxStream): void {
    if (stream.destroyed || !this.#listener) return;
    this.#session.accept(stream.state);
    this.#listener(stream);
  }

  #isOpen(state: StreamState): boolean {
    return this.#session.streams.get(state.id) === state;
  }

  /** Waits for the peer to end a stream that is closed here, and resets it when that takes too long. */
  #linger(state: StreamState, timeout: number): void {
    if (this.isClosed || !this.#isOpen(state)) return;
    this.#timers.set(state, timeout, () => {
      this.#session.reset(state);
      this.#schedule();
    });
  }

  #openTimedOut(state: StreamState): void {
    const seconds = this.#config.streamOpenTimeout / 1000;
    const stream = this.#streams.get(state);
    stream?.destroy(new StreamResetError(`the peer did not accept stream ${state.id} within ${seconds} s`));
  }

  // Incoming.

  #dispatch(events: Event[]): void {
    for (const event of events) this.#tell(event);
    if (this.streamCount === 0 && this.#idle.length > 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  #tell(event: Event): void {
    const stream = "stream" in event ? this.#streams.get(event.stream) : undefined;
    switch (event.type) {
      case "opened":
        return this.#opened(event.stream);
      case "acknowledged":
        if (stream) this.#timers.clear(event.stream);
        return;
      case "data":
        if (stream) stream.received(event.data);
        else this.#linger(event.stream, LINGER);
        return;
      case "ended":
        if (stream) stream.ended();
        else if (!this.#isOpen(event.stream)) this.#timers.clear(event.stream);
        return;
      case "drained":
        return stream?.drained();
      case "finished":
        return stream?.finished();
      case "reset":
        this.#timers.clear(event.stream);
        stream?.destroy(event.error);
        return;
      case "pong":
        return this.#pings.answered(event.ping, event.roundTrip);
      case "goAway":
        return;
      case "closed":
        this.#flush();
        return this.#finish(event.error);
    }
  }

  #opened(state: StreamState): void {
    if (!this.#isOpen(state)) return;
    const stream = this.#adopt(state);
    if (this.#listener) this.#accept(stream);
    else this.#backlog.push(stream);
  }

  #read(chunk: Buffer): void {
    const before = this.#session.frames;
    this.feed(chunk);
    if (this.#session.frames - before < FRAMES_PER_TURN) return;
    this.#input.pause();
    setImmediate(() => this.#input.resume());
  }

  /** Handles a peer that no longer reads. What it has written is read to the end, or until it is silent for a second. */
  #broken(error: SessionClosedError): void {
    if (this.#phase === "over") return;
    if (this.#input.readableEnded || this.#input.destroyed) this.#finish(error);
    else this.#stopBrokenTimer ??= this.#keepAlive.onSilence(BROKEN_LINGER, () => this.#finish(error));
  }

  #receiveEnd(): void {
    this.#session.receiveEnd();
    this.#dispatch(this.#session.events());
  }

  // Outgoing.

  /** Schedules a write at the end of this turn of the event loop, so that frames of one turn are written together. */
  #schedule(): void {
    if (this.#phase === "over") return;
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#phase !== "over" && !this.#writer.isBusy) {
      const chunks = this.#session.take(BATCH);
      const events = this.#session.events();
      if (chunks.length > 0) this.#writer.write(chunks);
      if (this.#writer.isBusy) this.#unwritten = events;
      else this.#dispatch(events);
      if (chunks.length === 0) break;
    }
    if (this.#phase !== "over" && this.#session.deferred > 0 && !this.#writer.isBusy) this.#armDeferredTimer();
  }

  #written(): void {
    const events = this.#unwritten;
    this.#unwritten = [];
    this.#dispatch(events);
    this.#flush();
    if (this.#phase === "closing" && !this.#session.wantsToSend && !this.#writer.isBusy) this.#finish(undefined);
  }

  #armDeferredTimer(): void {
    const send = (): void => {
      this.#stopDeferredTimer = undefined;
      this.#session.flushDeferred();
      this.#flush();
    };
    if (this.#session.deferred >= MAX_DEFERRED) return send();
    this.#stopDeferredTimer ??= this.#clock.after(DEFERRED_DELAY, send);
  }

  // The end.

  #finish(reason: SessionClosedError | undefined): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    const error = reason ?? new SessionClosedError("the session was closed");
    this.#session.error ??= error;
    this.#writer.stop();
    this.#stopDeferredTimer?.();
    this.#stopBrokenTimer?.();
    this.#keepAlive.stop();
    this.#timers.clearAll();
    this.#pings.fail(error);
    for (const stream of [...this.#streams.values()]) stream.sessionClosed(error);
    for (const resolve of this.#idle.splice(0)) resolve();
    this.#hangUp();
    this.#settle(reason);
  }

  #hangUp(): void {
    const destroy = (): void => {
      this.#input.destroy();
      this.#output.destroy();
    };
    if (this.#output.writableLength === 0 && this.#output.writable) {
      this.#output.end(destroy);
      const stop = this.#clock.after(this.#config.connectionWriteTimeout, destroy);
      this.#output.once("close", stop);
    } else {
      destroy();
    }
  }
}
