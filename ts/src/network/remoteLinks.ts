/**
 * The links of one plugin over networks: to the runtimes at one or several addresses, or to those that connect. There is one
 * link to each runtime, and a `Plugin` of its own serves it, so that what a runtime was lent stays with that link.
 */

import { randomBytes } from "node:crypto";
import { lookup, resolveSrv } from "node:dns/promises";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { hijack } from "../dial.js";
import { DialError, RegistrationError } from "../errors.js";
import { errorMessage } from "../errorMessage.js";
import { FIRST_REDIAL, REGISTRATION_TIMEOUT } from "../limits.js";
import type { Plugin } from "../plugin.js";
import { UpgradeRefused } from "../upgrade.js";
import { withTimeout } from "../withTimeout.js";
import { isLookedUp, type NetworkAddress, serverName, written } from "./address.js";
import { CONNECT_TIMEOUT, connect } from "./connect.js";
import type { Credentials } from "./credentials.js";
import { listen, MAX_LINKS } from "./listen.js";
import { alertOf, refusal } from "./refusal.js";

const MAX_REDIAL = 30_000;
/** What is used of node's resolver. */
interface Resolver {
  lookup(name: string, options: { all: true }): Promise<{ address: string }[]>;
  resolveSrv(name: string): Promise<{ name: string; port: number }[]>;
}

/** A link that has ended: the id of its runtime, its end as the newest one of that runtime, and why it has ended. */
interface Served {
  readonly id: string;
  readonly over: Promise<void> | undefined;
  readonly why: Error | undefined;
}

/** A link that has served for so long has the next wait be the first again. */
const SERVED_LONG = 10_000;
/** The runtime that has started a plugin elsewhere may be away for so long. */
const MAX_AWAY = 60_000;
const FORBIDDEN = 403;
/** node does not tell how long the records hold that the system has looked up. */
const LOOK_UP_INTERVAL = 30_000;
const LOOK_UP_AGAIN = 1_000;
/** Addresses of one name that are followed. */
const MAX_PLACES = 256;
/** Kinds of warnings in that time. */
const MAX_TOLD = 32;
/** The same warning is repeated after so many milliseconds. */
const TELL_AGAIN = 60_000;

/** One address to dial, and the name that it was looked up from. */
interface Place {
  readonly address: NetworkAddress;
  readonly hostName: string;
}

export class RemoteLinks {
  readonly #make: () => Plugin;
  readonly #name: string | undefined;
  readonly #credentials: Credentials | undefined;
  readonly #warn: (message: string, error: string) => void;
  /** A link of this process takes the place of the one before, at the same runtime. */
  readonly #processId = randomBytes(16).toString("hex");
  readonly #plugins = new Set<Plugin>();
  /** The newest link to each runtime, by the id of the runtime: what awaits its end. */
  readonly #newest = new Map<string, Promise<void>>();
  readonly #ending = new AbortController();
  readonly #stopped = once(this.#ending.signal, "abort");
  readonly #told = new Map<string, number>();

  /**
   * @param make makes the plugin of one link.
   * @param credentials the certificate of this end; undefined where `tcp://` needs none.
   * @param warn is told what goes wrong and is tried again.
   * @param name the name to register under, where it is not the plugin's own.
   */
  constructor(
    make: () => Plugin,
    credentials: Credentials | undefined,
    warn: (message: string, error: string) => void,
    name?: string,
  ) {
    this.#make = make;
    this.#name = name;
    this.#credentials = credentials;
    this.#warn = warn;
  }

  /** Ends all links in order. */
  stop(): void {
    this.#ending.abort();
    for (const plugin of this.#plugins) plugin.stop();
  }

  /** Serves the runtime at an address, or all that its name has, until `stop`. It never gives up. */
  async dial(address: NetworkAddress): Promise<void> {
    if (!isLookedUp(address)) return this.#keep({ address, hostName: address.host }, new AbortController().signal);
    const running = new Map<string, { leave: AbortController; over: Promise<void> }>();
    while (!this.#ending.signal.aborted) {
      let interval = LOOK_UP_INTERVAL;
      try {
        this.#adjust(running, await lookUp(address));
      } catch (error) {
        this.#tell(`${written(address)} could not be looked up; what was found before stands`, errorMessage(error));
        if (running.size === 0) interval = LOOK_UP_AGAIN;
      }
      await withTimeout(interval, this.#stopped);
    }
    await Promise.all([...running.values()].map(({ over }) => over));
  }

  /**
   * Serves the runtime that has started this plugin, and dials again when the link is lost, until the runtime has ended
   * its run, or has been away for a minute.
   *
   * @throws DialError or RegistrationError when the first link does not come about, or the runtime is away for too long.
   */
  async dialLauncher(address: NetworkAddress): Promise<void> {
    const never = new AbortController().signal;
    let delay = FIRST_REDIAL;
    let giveUp = 0;
    while (!this.#ending.signal.aborted) {
      try {
        await this.#serve(await this.#reach({ address, hostName: address.host }), never);
        [delay, giveUp] = [FIRST_REDIAL, Date.now() + MAX_AWAY];
      } catch (error) {
        if (!(error instanceof DialError || error instanceof RegistrationError)) throw error;
        if (giveUp && error.cause instanceof UpgradeRefused && error.cause.status === FORBIDDEN) return;
        if (Date.now() >= giveUp) throw error;
      }
      await withTimeout(delay * (0.5 + Math.random() / 2), this.#stopped);
      delay = Math.min(2 * delay, MAX_REDIAL);
    }
  }

  /**
   * Serves the runtimes that connect, until `stop`.
   *
   * @throws ConfigError when nobody can listen at the address.
   */
  async listen(address: NetworkAddress): Promise<void> {
    const serving = new Set<Promise<void>>();
    const serve = (connection: Duplex): void => {
      const over = this.#serve(connection, new AbortController().signal)
        .then(() => {})
        .catch((error: unknown) =>
          this.#tell("a runtime has connected and did not register the plugin", errorMessage(error)),
        )
        .finally(() => serving.delete(over));
      serving.add(over);
    };
    const listener = await listen({
      address,
      credentials: this.#credentials,
      serve,
      hasRoom: () => serving.size < MAX_LINKS && !this.#ending.signal.aborted,
      tell: (peer, why) => this.#tell("a connection was refused", `${peer}: ${why}`, why),
    });
    await this.#stopped;
    await Promise.all(serving);
    await listener.close();
  }

  #adjust(running: Map<string, { leave: AbortController; over: Promise<void> }>, found: readonly Place[]): void {
    const names = new Map(found.map((place) => [written(place.address), place]));
    for (const [name, { leave }] of running) {
      if (names.has(name)) continue;
      leave.abort();
      running.delete(name);
    }
    for (const [name, place] of names) {
      if (running.has(name) || running.size >= MAX_PLACES) continue;
      const leave = new AbortController();
      running.set(name, { leave, over: this.#keep(place, leave.signal) });
    }
  }

  /** Serves the runtime at a place, again and again. */
  async #keep(place: Place, leave: AbortSignal): Promise<void> {
    const hasLeft = leave.aborted ? Promise.resolve() : once(leave, "abort");
    let delay = FIRST_REDIAL;
    while (!this.#ending.signal.aborted && !leave.aborted) {
      const began = Date.now();
      try {
        const link = await this.#serve(await this.#reach(place), leave);
        if (!this.#ending.signal.aborted && !leave.aborted) {
          const why = `${written(place.address)}: ${link.why?.message ?? "the runtime has closed it"}`;
          this.#tell("the link to the runtime has ended; connecting again", why);
        }
        await this.#awaitSuccessor(link, hasLeft);
      } catch (error) {
        if (!(error instanceof DialError || error instanceof RegistrationError)) throw error;
        this.#tell("the runtime is not reached; trying again", error.message);
      }
      if (Date.now() - began >= SERVED_LONG) delay = FIRST_REDIAL;
      // Jitter keeps the plugins of a restarted runtime from reconnecting all at once.
      await withTimeout(delay * (0.5 + Math.random() / 2), this.#stopped, hasLeft);
      delay = Math.min(2 * delay, MAX_REDIAL);
    }
  }

  async #reach({ address, hostName }: Place): Promise<Duplex> {
    const connection = await connect(address, this.#credentials, hostName);
    try {
      return await hijack(connection, CONNECT_TIMEOUT);
    } catch (error) {
      const isRefusal = this.#credentials && alertOf(error) !== undefined;
      const why = isRefusal ? refusal(error, this.#credentials) : errorMessage(error);
      throw new DialError(`${written(address)}: ${why}`, { cause: error });
    }
  }

  /** Serves one link. */
  async #serve(connection: Duplex, leave: AbortSignal): Promise<Served> {
    const plugin = this.#make();
    plugin.registration.processId = this.#processId;
    this.#plugins.add(plugin);
    const end = (): void => plugin.stop();
    leave.addEventListener("abort", end);
    let id = "";
    let own: Promise<void> | undefined;
    let tellOver!: () => void;
    const onRegistered = (runtimeId: string): void => {
      id = runtimeId;
      own = new Promise((resolve) => {
        tellOver = resolve;
      });
      if (id) this.#newest.set(id, own);
    };
    try {
      const name = this.#name ?? plugin.registration.name;
      const ends = { input: connection, output: connection };
      await plugin.serveOnce(ends, name, REGISTRATION_TIMEOUT, 0, onRegistered);
    } finally {
      this.#plugins.delete(plugin);
      plugin.printLog(); // What the runtime has not taken.
      leave.removeEventListener("abort", end);
      if (own) tellOver();
    }
    if (plugin.isStopping && !leave.aborted) this.stop(); // by a runtime's Shutdown
    return { id, over: own, why: plugin.whyEnded };
  }

  /**
   * Waits for the end of the link that has taken the place of one that has ended, if there is one: dialling the same runtime
   * by its other address would only take the place of that link.
   */
  async #awaitSuccessor({ id, over }: Served, hasLeft: Promise<unknown>): Promise<void> {
    const newest = this.#newest.get(id);
    if (newest === over) this.#newest.delete(id);
    else if (newest) await Promise.race([newest, this.#stopped, hasLeft]);
  }

  /** Warns of each kind once a minute. Strangers can cause as many as they like: of more than `MAX_TOLD` kinds none is told. */
  #tell(message: string, error: string, kind = error): void {
    const text = `${message}: ${kind}`;
    const now = Date.now();
    for (const [told, at] of this.#told) if (now - at >= TELL_AGAIN) this.#told.delete(told);
    if (this.#told.has(text) || this.#told.size >= MAX_TOLD) return;
    this.#told.set(text, now);
    this.#warn(message, error);
  }
}

/** The places of a name, by what a resolver tells: node's, where it is not a test's. */
export async function lookUp(address: NetworkAddress, names: Resolver = { lookup, resolveSrv }): Promise<Place[]> {
  const targets =
    address.scheme === "tls+srv"
      ? (await names.resolveSrv(address.host)).filter(({ name }) => name) // a root target is no service (RFC 2782)
      : [{ name: address.host, port: address.port }];
  const hostName = serverName(address);
  const missing: Error[] = [];
  const places = targets.map(async ({ name, port }) => {
    try {
      const found = await names.lookup(name, { all: true });
      return found.map(({ address: host }): Place => ({ address: { scheme: "tls", host, port }, hostName }));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOTFOUND") throw error;
      missing.push(error as Error); // its machine has gone, and the record has not yet; the others stand
      return [];
    }
  });
  const found = (await Promise.all(places)).flat();
  if (found.length === 0 && missing.length > 0) throw missing[0];
  return found;
}
