/**
 * Tests of plugins: a host in this process, on a link in memory.
 *
 * ```ts
 * test("an entry is found", async (t) => {
 *   const host = await pluginHost(options);
 *   t.after(() => host.close());
 *   assert.equal((await host.client(KeyValueService).get({ key: "a" })).value, "1");
 * });
 * ```
 */

import type { Duplex } from "node:stream";
import { create, type DescService } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, type ConnectRouter, type Interceptor } from "@connectrpc/connect";
import {
  PluginService,
  type RegisterPluginRequest,
  type RegisterPluginResponse,
  RegisterPluginResponseSchema,
  RegisterService,
} from "../../gen/ts/plugins/v1/plugins_pb.js";
import { ConfigurationService } from "../../gen/ts/plugmux/v1/configuration_pb.js";
import { HealthCheckResponse_ServingStatus, HealthService } from "../../gen/ts/plugmux/v1/health_pb.js";
import { InstanceService } from "../../gen/ts/plugmux/v1/instance_pb.js";
import { LogLevel, type LogRecord, LogService } from "../../gen/ts/plugmux/v1/log_pb.js";
import { ResolverService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import type { StreamHandler } from "./app.js";
import { ConfigError, PlugmuxError, SessionClosedError } from "./errors.js";
import { REGISTRATION_TIMEOUT } from "./limits.js";
import { Link } from "./link.js";
import { LinkApp } from "./linkApp.js";
import type { Fields } from "./log.js";
import { connectionPair } from "./memoryConnection.js";
import { Plugin, type PluginOptions } from "./plugin.js";
import type { Lent } from "./references.js";
import { checkRegistration } from "./registration.js";
import type { RemoteObject } from "./remote.js";
import { fromEnvelope, type Secret } from "./secrets.js";

/** Milliseconds that the plugin has for its answer to `Shutdown`, as under a runtime. */
const SHUTDOWN_TIMEOUT = 2_000;
const KEEP_ALIVE = 60_000;

/** What a host gives its plugin. */
export interface PluginHostOptions {
  /** The plugin's name; by default the one that it would register under. */
  readonly name?: string;
  /** The plugin's configuration, as a JSON value. It is not validated against the plugin's schema. */
  readonly configuration?: unknown;
  /** Services of the host that the plugin may call. */
  readonly services?: (router: ConnectRouter) => void;
  /** Handlers of the raw streams that the plugin may open, by name. */
  readonly streams?: Readonly<Record<string, StreamHandler>>;
}

/** A log record of the plugin. */
export interface LogEntry {
  readonly time: Date;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: Fields;
}

/** A call that the plugin has made of a service of the host. */
export interface HostCall {
  /** The full name of the service and the name of the method, such as `kv.v1.AuditService/Record`. */
  readonly method: string;
  /** The request message; undefined if the method takes a stream. */
  readonly request: unknown;
}

/** A host with one plugin, and what it has seen of the plugin. `pluginHost` makes one. */
export class PluginHost {
  /** What the plugin has registered. */
  readonly registration: RegisterPluginRequest;
  /** The host's end of the link, for what this class has no method for. */
  readonly link: Link;
  /** The plugin's log records, oldest first. */
  readonly logs: readonly LogEntry[];
  /** The calls that the plugin has made of the host's services, in the order in which they began. */
  readonly calls: readonly HostCall[];
  readonly #state: HostState;
  readonly #served: Promise<void>;

  /** Use `pluginHost`. */
  constructor(link: Link, state: HostState, served: Promise<void>, registration: RegisterPluginRequest) {
    this.link = link;
    this.registration = registration;
    this.logs = state.logs;
    this.calls = state.calls;
    this.#state = state;
    this.#served = served;
  }

  /** A client of a service that the plugin serves. */
  client<Service extends DescService>(service: Service): Client<Service> {
    return this.link.client(service);
  }

  /**
   * Opens a raw stream to the plugin; `end()` half-closes it.
   *
   * @throws StreamRefused when the plugin serves no stream of that name.
   */
  async openStream(name: string): Promise<Duplex> {
    return this.link.openStream(name);
  }

  /**
   * Asks a secrets provider for the secrets that a pattern matches.
   *
   * @throws ConnectError with the code "not found" when it has none.
   */
  async secrets(pattern: string): Promise<(Secret & { readonly value: Uint8Array })[]> {
    const { envelopes } = await this.client(ResolverService).getSecrets({ pattern });
    return envelopes.map(fromEnvelope);
  }

  /**
   * Asks the plugin for an instance; `release()` ends it.
   *
   * @param configuration the instance's configuration, as a JSON value.
   * @throws ConnectError when the plugin rejects the configuration.
   */
  async openInstance(configuration: unknown): Promise<RemoteObject> {
    const { reference } = await this.client(InstanceService).open({ configurationJson: JSON.stringify(configuration) });
    return this.link.at(reference);
  }

  /**
   * Changes the plugin's configuration, and returns when the new one is in effect.
   *
   * @param configuration the configuration, as a JSON value.
   * @throws ConnectError when the plugin rejects it or takes none.
   */
  async configure(configuration: unknown): Promise<void> {
    await this.client(ConfigurationService).configure({ configurationJson: JSON.stringify(configuration) });
  }

  /**
   * Whether the plugin reports a service as ready.
   *
   * @param service the full name of a service; "" is the plugin as a whole.
   * @throws ConnectError with the code "not found" when the plugin does not know the service.
   */
  async isServing(service = ""): Promise<boolean> {
    const { status } = await this.client(HealthService).check({ service });
    return status === HealthCheckResponse_ServingStatus.SERVING;
  }

  /** Lends the plugin an object, and gives the reference to put into a message. See `Link.lend`. */
  lend(object: Lent): string {
    return this.link.lend(object);
  }

  /** The object that the plugin has lent under a reference. */
  at(reference: string): RemoteObject {
    return this.link.at(reference);
  }

  /**
   * Waits for a log record, which may have come already: records arrive after the call that wrote them has ended.
   *
   * @throws SessionClosedError when the link ends first.
   */
  async waitForLog(matches: (entry: LogEntry) => boolean): Promise<LogEntry> {
    return this.#state.waitForLog(matches);
  }

  /**
   * Ends the plugin in order, as a runtime does: `Shutdown`, go-away, and the end of open streams. Does nothing when the
   * plugin has ended.
   *
   * @throws what the plugin's end throws.
   */
  async close(): Promise<void> {
    try {
      if (!this.link.mux.isClosed) await this.#shutdown();
      await this.link.close();
      await this.#served;
    } finally {
      this.#state.end();
    }
  }

  async #shutdown(): Promise<void> {
    try {
      await this.client(PluginService).shutdown({}, { timeoutMs: SHUTDOWN_TIMEOUT });
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (code !== Code.Unavailable && code !== Code.DeadlineExceeded) throw error; // It has ended, or has to.
    }
  }
}

/**
 * Starts a plugin in this process, on a link in memory, and waits until it has registered.
 *
 * The host accepts registrations as every runtime does. It is no runtime: it does not restart the plugin, and has no
 * retries, health policy or access control.
 *
 * @param plugin the options that the program gives to `plugin`, or a `Plugin`. A `Plugin` object serves one host: when it
 *     has been closed, the object has ended.
 * @throws ConfigError when every runtime would refuse the registration.
 * @throws RegistrationError when the name is not valid, or the plugin rejects its configuration.
 */
export async function pluginHost(plugin: PluginOptions | Plugin, options: PluginHostOptions = {}): Promise<PluginHost> {
  const { services, streams = {}, configuration } = options;
  if (configuration !== undefined && JSON.stringify(configuration) === undefined) {
    throw new ConfigError("the configuration is not a JSON value");
  }
  const subject = plugin instanceof Plugin ? plugin : new Plugin(plugin);
  const state = new HostState(configuration === undefined ? "" : JSON.stringify(configuration));
  const app = new LinkApp({
    routes: (router) => {
      services?.(router);
      state.serve(router);
    },
    streams,
    interceptors: [state.interceptor],
  });
  const [near, far] = connectionPair();
  const link = new Link({ role: "server", app, input: near, output: near, isLocal: true });
  void link.mux.closed.then(() => state.linkEnded());
  const name = options.name ?? subject.registration.name;
  const served = subject.serveOnce({ input: far, output: far, isLocal: true }, name, REGISTRATION_TIMEOUT);
  served.catch(() => {}); // `close` or the next line tells of it.
  try {
    return new PluginHost(link, state, served, await started(link, state, served));
  } catch (error) {
    state.end();
    await link.close();
    throw error;
  }
}

/** Waits until the plugin serves, and gives what it has registered. */
async function started(link: Link, state: HostState, served: Promise<void>): Promise<RegisterPluginRequest> {
  const registration = await Promise.race([state.registered, endedEarly(served)]);
  // The plugin answers a call when it has accepted its configuration, and ends the link when it rejects it.
  await link
    .client(HealthService)
    .check({})
    .catch(() => endedEarly(served));
  return registration;
}

async function endedEarly(served: Promise<void>): Promise<never> {
  await served;
  throw new PlugmuxError("the plugin ended before it had registered");
}

/** What a host has seen of its plugin, and the services that every host serves. */
class HostState {
  readonly logs: LogEntry[] = [];
  readonly calls: HostCall[] = [];
  readonly registered: Promise<RegisterPluginRequest>;
  readonly #configurationJson: string;
  #accept!: (request: RegisterPluginRequest) => void;
  #isRegistered = false;
  #waiting: {
    matches: (entry: LogEntry) => boolean;
    resolve: (entry: LogEntry) => void;
    reject: (e: Error) => void;
  }[] = [];
  #ended: SessionClosedError | undefined;
  /** Keeps the process alive, as a socket would: a connection in memory does not. */
  readonly #alive = setInterval(() => {}, KEEP_ALIVE);

  constructor(configurationJson: string) {
    this.#configurationJson = configurationJson;
    this.registered = new Promise((resolve) => {
      this.#accept = resolve;
    });
  }

  /** Records the calls of the host's own services. */
  readonly interceptor: Interceptor = (next) => (request) => {
    const { typeName } = request.service;
    if (typeName !== RegisterService.typeName && typeName !== LogService.typeName) {
      this.calls.push({
        method: `${typeName}/${request.method.name}`,
        request: request.stream ? undefined : request.message,
      });
    }
    return next(request);
  };

  serve(router: ConnectRouter): void {
    router.service(RegisterService, { registerPlugin: (request) => this.#register(request) }).service(LogService, {
      write: ({ records }) => {
        for (const record of records) this.#log(entryOf(record));
        return {};
      },
    });
  }

  async waitForLog(matches: (entry: LogEntry) => boolean): Promise<LogEntry> {
    const found = this.logs.find(matches);
    if (found) return found;
    if (this.#ended) throw this.#ended;
    return new Promise((resolve, reject) => this.#waiting.push({ matches, resolve, reject }));
  }

  linkEnded(): void {
    this.#ended = new SessionClosedError("the plugin's link has ended");
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
  }

  end(): void {
    clearInterval(this.#alive);
  }

  #register(request: RegisterPluginRequest): RegisterPluginResponse {
    if (this.#isRegistered)
      throw new ConnectError("cannot rerun registration: the plugin has registered on this link", Code.Internal);
    try {
      checkRegistration(request);
    } catch (error) {
      throw new ConnectError(error instanceof Error ? error.message : String(error), Code.Internal);
    }
    this.#isRegistered = true;
    this.#accept(request);
    return create(RegisterPluginResponseSchema, {
      engineName: "plugmux/testing",
      engineVersion: "v1.0.0",
      configurationJson: this.#configurationJson,
      protocolVersion: Math.max(1, ...request.protocolVersions),
    });
  }

  #log(entry: LogEntry): void {
    this.logs.push(entry);
    this.#waiting = this.#waiting.filter(({ matches, resolve }) => {
      if (!matches(entry)) return true;
      resolve(entry);
      return false;
    });
  }
}

function entryOf({ time, level, message, fieldsJson }: LogRecord): LogEntry {
  return {
    time: time ? timestampDate(time) : new Date(0),
    level: levelOf(level),
    message,
    fields: fieldsJson ? (JSON.parse(fieldsJson) as Fields) : {},
  };
}

function levelOf(level: LogLevel): LogEntry["level"] {
  if (level >= LogLevel.ERROR) return "error";
  if (level === LogLevel.WARNING) return "warn";
  return level === LogLevel.INFO ? "info" : "debug";
}
