/**
 * The certificate of this end, its key, and the CAs that are trusted: from files, and loaded anew when these change. Links
 * that are open go on. A set of files that cannot be loaded changes nothing and is told.
 */

import { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import { ConfigError } from "../errors.js";
import { errorMessage } from "../errorMessage.js";
import { alternativeNames, checkPattern, identityOf } from "./identity.js";

/** How a plugin shows who it is on a network, and whom it trusts. What is not given is taken from the environment. */
export interface TlsOptions {
  /** A directory with `tls.crt`, `tls.key` and `ca.crt`, as cert-manager names them; `PLUGMUX_TLS_DIR` by default. */
  readonly directory?: string;
  /** The path of a PEM file: the certificate, and those of the CAs between; `PLUGMUX_TLS_CERT` by default. */
  readonly cert?: string;
  /** The path of the key of the certificate; `PLUGMUX_TLS_KEY` by default. */
  readonly key?: string;
  /** The path of the CAs that are trusted, one or more; `PLUGMUX_TLS_CA` by default. */
  readonly ca?: string;
  /**
   * Patterns of the identities of runtimes that are accepted; `PLUGMUX_RUNTIME_IDENTITY` by default. Without any, these are
   * the identities whose name is `runtime` and, for a plugin that dials, certificates that cover the host dialled.
   */
  readonly peers?: readonly string[];
  /** Used in place of the files; it must have `cert`, `key` and `ca`. */
  readonly context?: SecureContextOptions;
}

const LOOK_INTERVAL = 10_000;
const HOUR = 3_600_000;
const WARN_AGAIN = 24 * HOUR;

type Warn = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

export class Credentials {
  readonly peers: readonly string[];
  /** Where the CAs come from, for errors. */
  readonly origin: string;
  readonly #files: readonly string[];
  readonly #warn: Warn;
  #options: SecureContextOptions;
  #context: SecureContext;
  #seen = "";
  #warned = 0;
  /** Told when there is another certificate or CA. */
  onChange: (() => void) | undefined;

  private constructor(files: readonly string[], options: SecureContextOptions, peers: readonly string[], warn: Warn) {
    this.#files = files;
    this.#options = options;
    this.#context = createSecureContext(options);
    this.#warn = warn;
    this.peers = peers;
    this.origin = files[2] ?? "the given context";
  }

  /**
   * What the options and the environment give; undefined where they name no certificate.
   *
   * @throws ConfigError when what they name cannot be used.
   */
  static async load(
    { peers, context, ...given }: TlsOptions,
    warn: Warn,
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<Credentials | undefined> {
    const patterns = (peers ?? env["PLUGMUX_RUNTIME_IDENTITY"]?.split(/[, ]+/) ?? []).filter(Boolean).map(checkPattern);
    if (context) {
      if (!context.ca || !context.cert) throw new ConfigError("the context of TLS needs cert, key and ca");
      return new Credentials([], context, patterns, warn);
    }
    const directory = given.directory ?? env["PLUGMUX_TLS_DIR"];
    const inDirectory = (name: string): string => (directory ? join(directory, name) : "");
    const files = [
      given.cert ?? (env["PLUGMUX_TLS_CERT"] || inDirectory("tls.crt")),
      given.key ?? (env["PLUGMUX_TLS_KEY"] || inDirectory("tls.key")),
      given.ca ?? (env["PLUGMUX_TLS_CA"] || inDirectory("ca.crt")),
    ];
    if (!files.some(Boolean)) return undefined;
    if (!files.every(Boolean)) {
      throw new ConfigError(
        "TLS needs three PEM files: a certificate, its key and the CAs (PLUGMUX_TLS_CERT, PLUGMUX_TLS_KEY, PLUGMUX_TLS_CA, or " +
          "PLUGMUX_TLS_DIR with tls.crt, tls.key and ca.crt)",
      );
    }
    try {
      const seen = await look(files);
      const credentials = new Credentials(files, await read(files), patterns, warn);
      credentials.#seen = seen;
      credentials.#warnNearEnd();
      return credentials;
    } catch (error) {
      throw new ConfigError(`the certificate cannot be used: ${errorMessage(error)}`, { cause: error });
    }
  }

  /** Credentials that are in no file. */
  static inMemory(options: SecureContextOptions, peers: readonly string[], warn: Warn): Credentials {
    return new Credentials([], options, peers, warn);
  }

  /** What handshakes that begin now use. */
  get context(): SecureContext {
    return this.#context;
  }

  /** The same, for `tls.Server.setSecureContext`. */
  get options(): SecureContextOptions {
    return this.#options;
  }

  /** Has all later handshakes use other credentials. */
  replace(options: SecureContextOptions): void {
    this.#context = createSecureContext(options);
    this.#options = options;
    this.#warned = 0;
    this.onChange?.();
  }

  /** Loads the files if they have changed. */
  async refresh(): Promise<void> {
    if (this.#files.length === 0) return;
    try {
      const seen = await look(this.#files);
      if (seen === this.#seen) return;
      this.#seen = seen;
      this.replace(await read(this.#files));
    } catch (error) {
      this.#warnOnce(`the certificate was not renewed: ${errorMessage(error)}`);
    }
  }

  /** Looks at the files again and again. Returns what ends it. */
  watch(): () => void {
    const timer = setInterval(() => {
      void this.refresh().then(() => this.#warnNearEnd());
    }, LOOK_INTERVAL);
    timer.unref();
    return () => clearInterval(timer);
  }

  /** The certificate of this end in words. */
  describe(): string {
    const own = this.#ownCertificate();
    if (!own) return "of the given context";
    let identity = "which names no identity";
    try {
      identity = identityOf(alternativeNames(own.subjectAltName));
    } catch {
      // It stays so.
    }
    return `${identity}, valid from ${day(own.validFrom)} until ${day(own.validTo)}`;
  }

  #ownCertificate(): X509Certificate | undefined {
    const { cert } = this.#options;
    const first = Array.isArray(cert) ? cert[0] : cert;
    return first === undefined ? undefined : new X509Certificate(first);
  }

  #warnNearEnd(): void {
    const own = this.#ownCertificate();
    if (!own) return;
    const [begins, ends] = [Date.parse(own.validFrom), Date.parse(own.validTo)];
    const left = ends - Date.now();
    if (left <= 0) this.#warnOnce("the certificate has expired: no peer accepts it; renew it");
    else if (left < Math.max((ends - begins) / 3, HOUR)) {
      this.#warnOnce("the certificate ends soon and has not been renewed");
    }
  }

  #warnOnce(message: string): void {
    if (Date.now() - this.#warned < WARN_AGAIN) return;
    this.#warned = Date.now();
    this.#warn(message, { certificate: this.describe() });
  }
}

const day = (text: string): string => new Date(text).toISOString().replace(".000Z", "Z");

async function look(files: readonly string[]): Promise<string> {
  const states = await Promise.all(files.map((file) => stat(file)));
  return states.map(({ mtimeMs, ino, size }) => `${mtimeMs} ${ino} ${size}`).join();
}

async function read(files: readonly string[]): Promise<SecureContextOptions> {
  const [cert, key, ca] = (await Promise.all(files.map((file) => readFile(file, "utf8")))) as [string, string, string];
  if (!ca.includes("BEGIN CERTIFICATE")) throw new ConfigError(`${files[2]} holds no PEM certificates of CAs`);
  const options = { cert, key, ca };
  try {
    createSecureContext(options);
  } catch (error) {
    const reason = errorMessage(error).split(":").at(-1);
    throw new ConfigError(`${files[0]} and ${files[1]} are not a PEM certificate and its key: ${reason}`);
  }
  return options;
}
