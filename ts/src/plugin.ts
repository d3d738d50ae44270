import { basename } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ConnectRouter, createClient, type Interceptor } from "@connectrpc/connect";
import {
  PluginService,
  type RegisterPluginRequest,
  RegisterPluginRequestSchema,
  RegisterService,
} from "../../gen/ts/plugins/v1/plugins_pb.js";
import { DiagnosticsService } from "../../gen/ts/plugmux/v1/diagnostics_pb.js";
import { HealthService } from "../../gen/ts/plugmux/v1/health_pb.js";
import { InstanceService } from "../../gen/ts/plugmux/v1/instance_pb.js";
import { LogService } from "../../gen/ts/plugmux/v1/log_pb.js";
import { ReferenceService } from "../../gen/ts/plugmux/v1/reference_pb.js";
import type { StreamHandler } from "./app.js";
import type { Settings } from "./configuration.js";
import { serveDiagnostics } from "./diagnostics.js";
import { connectTo, dial, parseAddress } from "./dial.js";
import { ConfigError, DialError, RegistrationError, SessionClosedError } from "./errors.js";
import { Gate } from "./gate.js";
import { HandlerFaults } from "./handlerFaults.js";
import { Health } from "./health.js";
import type { Host } from "./host.js";
import type { Instances } from "./instances.js";
import type { LaunchConfig } from "./launch.js";
import {
  FIRST_REDIAL,
  LINK_CLOSE_TIMEOUT,
  MAX_DETACHED_REDIAL,
  MAX_REDIAL,
  PLUGIN_DRAIN_TIMEOUT,
  REGISTRATION_TIMEOUT,
} from "./limits.js";
import { type Ends, inherit, Link } from "./link.js";
import { LogQueue } from "./log.js";
import { errorMessage } from "./errorMessage.js";
import { listenerProcess, type TrustedUsers, trustedUsers } from "./peerUsers.js";
import { REFLECTION, serveReflection } from "./reflection.js";
import { checkRegistration } from "./registration.js";
import { openStream, RemoteObject } from "./remote.js";
import type { TlsOptions } from "./network/credentials.js";
import { type SecretsProvider, serveSecrets } from "./secrets.js";
import { LinkApp } from "./linkApp.js";
import { watchProcess } from "./runtimeWatch.js";
import { createTransport } from "./transport.js";
import { withTimeout } from "./withTimeout.js";
import { type Config, configure, type MuxStream } from "./yamux/index.js";

/** Services that the kind of the plugin announces, or that every plugin serves. */
const UNANNOUNCED = new Set([
  "plugins.v1.PluginService",
  "resolver.v1.ResolverService",
  HealthService.typeName,
  DiagnosticsService.typeName,
  "plugmux.v1.ConfigurationService",
  ReferenceService.typeName,
  InstanceService.typeName,
  REFLECTION,
]);
const ACCESS_CONTROL = "accesscontrol.v1.AccessControlService";

/** What a plugin serves, and what it registers. Times are in milliseconds, sizes in bytes. */
export interface PluginOptions {
  /** The version of the plugin: semantic with a leading "v", such as `v1.2.3`, `v1.2` or `v1`. */
  readonly version: string;
  /** The name to register under if the plugin starts by itself; the file name of the program by default. */
  readonly name?: string;
  /** The RPC services: `(router, host) => router.service(SomeService, { ... })`. */
  readonly services?: (router: ConnectRouter, host: Host) => void;
  /** Makes the plugin a provider of secrets. */
  readonly secrets?: SecretsProvider;
  /** The configuration that the plugin takes. */
  readonly configuration?: Settings<unknown>;
  /** Lets the plugin serve instances, each with its own configuration. */
  readonly instances?: Instances<unknown>;
  /** Handlers of raw streams, by the name under which the runtime opens them. */
  readonly streams?: Readonly<Record<string, StreamHandler>>;
  /** Run around every RPC served, the first outermost. */
  readonly interceptors?: readonly Interceptor[];
  /** The size of the largest message that is accepted, of calls and of answers; 4 MiB by default. A larger one ends its call. */
  readonly maxMessageBytes?: number;
  /**
   * How long an ending plugin waits for the calls that it serves, unless the runtime closes the link before; 10,000 by
   * default. A runtime terminates a plugin that takes longer than its own limit.
   */
  readonly drainTimeout?: number;
  /** How long an ending plugin then waits for the clean-up of the objects that it has lent; 2,000 by default. */
  readonly closeTimeout?: number;
  /** Settings of the mux of each link, in place of those for a peer on the same machine. */
  readonly mux?: Partial<Config>;
  /**
   * The address that the plugin dials if it was not launched: `unix:/path`, `unix:@abstract`, `tls://host:port`;
   * `tls+dns://name:port` or `tls+srv://_service._tcp.name` for every runtime of a name; or several network addresses
   * separated by commas. `services` and the like are then called once for each link. The value of `PLUGMUX_SOCKET` by default.
   */
  readonly socket?: string;
  /** The address at which the plugin lets runtimes connect, `tls://host:port`; the value of `PLUGMUX_LISTEN` by default. */
  readonly listen?: string;
  /** How the plugin shows who it is on a network, and whom it trusts. */
  readonly tls?: TlsOptions;
  /** Users whose runtime may be dialled, by name or id, in addition to the own user, root and `PLUGMUX_PEER_USERS`. */
  readonly peerUsers?: readonly (string | number)[];
  /** Further fields of the registration message. */
  readonly registration?: Pick<
    MessageInitShape<typeof RegisterPluginRequestSchema>,
    "protocolVersions" | "configuration" | "priority" | "replica" | "capabilities" | "labels"
  >;
}

/**
 * A plugin: what it serves, and its connection to a runtime.
 *
 * ```text
 * connecting ──> registering ──> serving ──> ended
 * ```
 *
 * A launched plugin serves once, on the link that it inherited. One that starts by itself dials the runtime's socket,
 * and dials again with a growing delay when the runtime goes away.
 */
export class Plugin {
  /** The registration message. A launched plugin registers under the name that the runtime gives it. */
  readonly registration: RegisterPluginRequest;
  readonly host: Host;
  readonly #app: LinkApp;
  readonly #health = new Health();
  readonly #log = new LogQueue();
  readonly #faults = new HandlerFaults((what, error) => {
    const stack = error instanceof Error ? (error.stack ?? String(error)) : String(error);
    this.#log.error(`${what} has failed: ${stack}`); // The text of a record is what every host shows.
  });
  readonly #stopped: Promise<void>;
  #stop!: () => void;
  #isStopping = false;
  #whyEnded: Error | undefined;
  #link: Link | undefined;
  #configurationJson = "";
  #protocolVersion = 0;
  readonly #settings: Settings<unknown> | undefined;
  readonly #closeTimeout: number;
  readonly #drainTimeout: number;
  readonly #mux: Partial<Config>;
  /** Whose runtime may be dialled. */
  readonly #trustedUsers: () => Promise<TrustedUsers>;

  /** @param same another plugin of this process, on which `trackProcess` is called. */
  constructor(
    { version, name, services, secrets, streams = {}, interceptors = [], ...rest }: PluginOptions,
    same?: Plugin,
  ) {
    if (same) this.#faults.leaveProcessTo(same.#faults);
    this.#stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
    this.host = this.#makeHost(rest.maxMessageBytes);
    this.#settings = rest.configuration;
    this.#closeTimeout = rest.closeTimeout ?? LINK_CLOSE_TIMEOUT;
    this.#drainTimeout = rest.drainTimeout ?? PLUGIN_DRAIN_TIMEOUT;
    this.#mux = rest.mux ?? {};
    configure(this.#mux); // A wrong setting is told now.
    this.#trustedUsers = () => trustedUsers(rest.peerUsers);
    this.#app = new LinkApp({
      routes: (router) => {
        services?.(router, this.host);
        if (secrets) serveSecrets(router, secrets, (message, fields) => this.#log.warn(message, fields));
        rest.configuration?.serve(router);
        rest.instances?.serve(router, this.host);
        router.service(PluginService, { shutdown: () => this.#answerShutdown() });
        serveDiagnostics(router);
        this.#health.serve(router);
        serveReflection(router);
      },
      streams,
      interceptors,
      faults: this.#faults,
      ...(rest.maxMessageBytes !== undefined && { maxMessageBytes: rest.maxMessageBytes }),
    });
    for (const service of this.#app.services) this.#health.know(service);
    this.registration = create(RegisterPluginRequestSchema, {
      ...rest.registration,
      ...(rest.configuration && { configuration: rest.configuration.declared }),
      ...(rest.instances && { instances: rest.instances.declared }),
      name: name ?? defaultName(),
      version,
      services: this.#app.services.filter((service) => !UNANNOUNCED.has(service) && service !== ACCESS_CONTROL),
      metadata: metadata(this.#app.services, secrets),
    });
    checkRegistration(this.registration);
  }

  /**
   * Serves the runtime that launched this process until either of them ends the link. A detached plugin then reconnects to
   * the same socket, where the next runtime listens.
   *
   * @throws ConfigError when the launch configuration names descriptors that cannot be a link.
   * @throws DialError when no runtime listens at the socket that it names.
   * @throws RegistrationError when the runtime refuses the plugin or closes the link.
   */
  async serveLaunched({ name, timeout, link, detached, runtimePid }: LaunchConfig): Promise<void> {
    if ("token" in link) throw new ConfigError("a plugin on another machine is served by RemoteLinks");
    const reach = async (): Promise<Ends> =>
      "socket" in link
        ? connectTo(link.socket, timeout, detached ? await this.#trustedUsers() : undefined)
        : inherit(link.readFd, link.writeFd);
    if (detached) return this.#reconnectLoop(reach, name, timeout, MAX_DETACHED_REDIAL);
    return this.serveOnce(await reach(), name, timeout, runtimePid);
  }

  /**
   * Serves the runtime that listens at an address, and reconnects when it goes away, until `stop` is called.
   *
   * @throws DialError or RegistrationError when the first attempt fails; later attempts are repeated.
   */
  async serveDialling(address: string): Promise<void> {
    const reach = async (): Promise<Ends> => {
      const connection = await dial(address, await this.#trustedUsers());
      const pid = await listenerProcess(parseAddress(address));
      return { input: connection, output: connection, isLocal: true, pid };
    };
    return this.#reconnectLoop(reach, this.registration.name, REGISTRATION_TIMEOUT, MAX_REDIAL);
  }

  async #reconnectLoop(reach: () => Promise<Ends>, name: string, timeout: number, maxDelay: number): Promise<void> {
    let delay = FIRST_REDIAL;
    let hasServed = false;
    while (!this.#isStopping) {
      try {
        await this.serveOnce(await reach(), name, timeout);
        hasServed = true;
        delay = FIRST_REDIAL;
      } catch (error) {
        if (!hasServed || !(error instanceof DialError || error instanceof RegistrationError)) throw error;
      }
      await withTimeout(delay * (0.5 + Math.random() / 2), this.#stopped);
      delay = Math.min(2 * delay, maxDelay);
    }
  }

  /** Why the last link has ended; undefined while it has not, and where it was closed in order. */
  get whyEnded(): Error | undefined {
    return this.#whyEnded;
  }

  /** Whether `stop` or a runtime's Shutdown has ended the plugin. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Ends the present link in order, and does not reconnect. */
  stop(): void {
    this.#isStopping = true;
    this.#stop();
  }

  /**
   * Handles faults of the whole process: an unhandled rejection ends the call that caused it, and `process.exit` in a
   * handler ends the plugin in order. Other unhandled rejections end the process, which is node's default.
   *
   * @param exit ends the plugin in order, and then the process with the status.
   * @returns undoes it.
   */
  trackProcess(exit: (status: number | string | null | undefined) => void): () => void {
    return this.#faults.trackProcess(exit);
  }

  /** Writes the log records that were not sent to stderr. Call it last, before the process ends. */
  printLog(): void {
    this.#log.giveUp();
  }

  /**
   * Serves the runtime at the other end of a connection until either of them ends the link.
   *
   * @param ends the connection, which belongs to the plugin from here on.
   * @param name the name to register under.
   * @param timeout milliseconds that the runtime has to answer the registration.
   * @param runtimePid process id of the runtime; the link also ends when that process does. By default that of `ends`.
   * @param onRegistered is given the id of the runtime once the plugin has registered; empty where the runtime has none.
   * @throws RegistrationError when the runtime refuses the plugin or closes the link.
   */
  async serveOnce(
    ends: Ends,
    name: string,
    timeout = REGISTRATION_TIMEOUT,
    runtimePid = ends.pid ?? 0,
    onRegistered?: (runtimeId: string) => void,
  ): Promise<void> {
    const gate = new Gate(timeout);
    this.#app.gate = gate;
    const onError = (error: unknown): void => this.#log.error("the clean-up of a lent object has failed", { error });
    const link = new Link({ role: "client", app: this.#app, ...ends, config: this.#mux, onError });
    this.#link = link;
    link.mux.isRegistered = false;
    const died = new SessionClosedError(`the process of the runtime (${runtimePid}) has ended`);
    const unwatch = watchProcess(runtimePid, () => link.mux.abort(died));
    try {
      const runtimeId = await this.#register(link, name, timeout);
      onRegistered?.(runtimeId);
      link.mux.isRegistered = true;
      gate.open();
      this.#log.attach(link.client(LogService));
      await Promise.race([link.mux.closed.then((why) => (this.#whyEnded = why)), this.#stopped]);
      await this.#log.flush();
    } finally {
      this.#log.detach();
      await link.close(this.#closeTimeout, this.#drainTimeout);
      unwatch();
    }
  }

  /** Registers; gives the id of the runtime. */
  async #register(link: Link, name: string, timeout: number): Promise<string> {
    try {
      const request = { ...this.registration, name };
      const response = await link.client(RegisterService).registerPlugin(request, { timeoutMs: timeout });
      this.#configurationJson = response.configurationJson;
      this.#protocolVersion = response.protocolVersion;
      this.#faults.debug = response.debug;
      this.#takeConfiguration(link);
      return response.runtimeId;
    } catch (error) {
      const text = `the runtime did not register plugin ${JSON.stringify(name)}: ${errorMessage(error)}`;
      throw new RegistrationError(text, { cause: error });
    }
  }

  #takeConfiguration(link: Link): void {
    try {
      this.#settings?.take(this.#configurationJson);
    } catch (error) {
      link.mux.abort(); // An answer to any further request would tell the runtime that the plugin works.
      throw error;
    }
  }

  async #answerShutdown(): Promise<Record<string, never>> {
    await this.#log.flush(); // After the answer the runtime accepts no more calls.
    this.stop();
    return {};
  }

  #makeHost(maxMessageBytes?: number): Host {
    const open = (): MuxStream => this.#currentLink().mux.open();
    const transport = createTransport(open, "", maxMessageBytes);
    const configurationJson = (): string => this.#configurationJson;
    const protocolVersion = (): number => this.#protocolVersion;
    return {
      transport,
      client: (service) => createClient(service, transport),
      openStream: (name) => openStream(open, name),
      lend: (object) => this.#currentLink().lend(object),
      withdraw: async (reference) => this.#link?.withdraw(reference),
      at: (reference) => new RemoteObject(reference, open, maxMessageBytes),
      get configurationJson() {
        return configurationJson();
      },
      get protocolVersion() {
        return protocolVersion();
      },
      log: this.#log,
      setHealth: (service, serving) => this.#health.set(service, serving),
    };
  }

  #currentLink(): Link {
    if (!this.#link) throw new SessionClosedError("the plugin is not linked to a runtime yet");
    return this.#link;
  }
}

function metadata(services: readonly string[], secrets?: SecretsProvider): RegisterPluginRequest["metadata"] {
  if (secrets)
    return { case: "secretsProvider", value: { $typeName: "plugins.v1.SecretsProvider", pattern: secrets.pattern } };
  if (!services.includes(ACCESS_CONTROL)) return { case: undefined };
  return { case: "accessControlModule", value: { $typeName: "plugins.v1.AccessControlModule" } };
}

function defaultName(): string {
  return basename(process.argv[1] ?? "plugin").replace(/\.([cm]?[jt]s|exe)$/, "");
}
