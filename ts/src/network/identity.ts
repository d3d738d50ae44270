/**
 * Who a peer is by its certificate. An identity is a SPIFFE id, `spiffe://prod/ns/a/kv`, or a DNS name,
 * `kv.plugins.svc`. Its name is the last segment of the path, or the first label. A pattern is an identity where `*`
 * stands for one segment or one label.
 */

import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { ConfigError, PlugmuxError } from "../errors.js";

const SPIFFE = "spiffe://";
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)+$/;
const SPIFFE_PATTERN = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(\*|[A-Za-z0-9._-]+))+$/;
const DNS_NAME = /^[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*$/;
const DNS_PATTERN = /^(\*|[a-z0-9_][a-z0-9_-]{0,62})(\.(\*|[a-z0-9_][a-z0-9_-]{0,62}))*$/;
const MAX_IDENTITY = 2048;
const MAX_SHOWN = 140;
const EVERYBODY = "*";

/** The name of the identity that a runtime has, where a plugin is not told otherwise. */
const RUNTIME = "runtime";

/** A certificate names no identity, or not the one that is expected. */
export class UntrustedIdentity extends PlugmuxError {}

/**
 * Pairs of a kind (`URI`, `DNS`) and a name, as node writes the subject alternative names of a certificate: joined by
 * commas, a name with special characters as a JSON string.
 */
export function alternativeNames(text: string | undefined): [kind: string, name: string][] {
  const names: [string, string][] = [];
  for (const [, kind = "", name = ""] of (text ?? "").matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    names.push([kind, name.startsWith('"') ? String(JSON.parse(name)) : name]);
  }
  return names;
}

/**
 * The identity that the subject alternative names of a certificate give.
 *
 * @throws UntrustedIdentity when they give none, or more than one SPIFFE id.
 */
export function identityOf(names: readonly (readonly [kind: string, name: string])[]): string {
  const ids = names.filter(([kind, name]) => kind === "URI" && name.toLowerCase().startsWith("spiffe:"));
  if (ids.length > 1) throw new UntrustedIdentity(`its certificate has ${ids.length} SPIFFE ids, and must have one`);
  if (ids[0]) {
    const [, id] = ids[0];
    if (id.length <= MAX_IDENTITY && SPIFFE_ID.test(id)) return id;
    throw new UntrustedIdentity(
      `its certificate has a SPIFFE id that is not valid: ${JSON.stringify(id.slice(0, MAX_SHOWN))}`,
    );
  }
  const hosts = names.filter(([kind]) => kind === "DNS").map(([, name]) => name.toLowerCase());
  const host = hosts.find((name) => name.length <= MAX_IDENTITY && DNS_NAME.test(name));
  if (host !== undefined) return host;
  if (hosts[0] !== undefined) {
    throw new UntrustedIdentity(
      `its certificate names only ${hosts[0].slice(0, MAX_SHOWN)}, and an identity is one name`,
    );
  }
  throw new UntrustedIdentity("its certificate has neither a SPIFFE id nor a DNS name");
}

/** The name of an identity: the last segment of a SPIFFE path, or the first label of a DNS name. */
export function nameOf(identity: string): string {
  return (identity.startsWith(SPIFFE) ? identity.split("/").at(-1) : identity.split(".")[0]) ?? "";
}

/**
 * Checks a pattern of identities and gives it as it is compared.
 *
 * @throws ConfigError when it is none.
 */
export function checkPattern(pattern: string): string {
  const text = pattern.startsWith(SPIFFE) ? pattern : pattern.toLowerCase();
  if (text === EVERYBODY || SPIFFE_PATTERN.test(text) || DNS_PATTERN.test(text)) return text;
  throw new ConfigError(
    `${JSON.stringify(pattern)} is not an identity: write spiffe://trust-domain/path or a DNS name, where * stands for one ` +
      "segment or one label",
  );
}

/** Whether a pattern, which `checkPattern` has given, matches an identity. */
export function matches(pattern: string, identity: string): boolean {
  if (pattern === EVERYBODY) return true;
  const isPath = pattern.startsWith(SPIFFE);
  if (isPath !== identity.startsWith(SPIFFE)) return false;
  const separator = isPath ? "/" : ".";
  const [wanted, given] = [pattern.split(separator), identity.split(separator)];
  return wanted.length === given.length && wanted.every((part, at) => part === "*" || part === given[at]);
}

/**
 * Checks that a certificate is that of a runtime which the plugin accepts.
 *
 * @param patterns the identities that are accepted; without any, those whose name is `runtime`, and certificates that
 *     cover the host.
 * @param host the host that was dialled; empty where the other end has dialled.
 * @throws UntrustedIdentity when it is not; the message tells what came and what is expected.
 */
export function checkRuntime(certificate: X509Certificate, patterns: readonly string[], host: string): void {
  let identity: string | undefined;
  let why = "";
  try {
    identity = identityOf(alternativeNames(certificate.subjectAltName));
  } catch (error) {
    if (!(error instanceof UntrustedIdentity)) throw error;
    why = error.message;
  }
  let expected = patterns.join(" or ");
  if (patterns.length === 0) {
    if (identity !== undefined && nameOf(identity) === RUNTIME) return;
    if (host && (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host, { subject: "never" }))) return;
    expected = `an identity whose name is "${RUNTIME}"${host && `, or a certificate for ${host}`}`;
    expected += " (PLUGMUX_RUNTIME_IDENTITY names another)";
  } else if (identity !== undefined && patterns.some((pattern) => matches(pattern, identity))) {
    return;
  }
  throw new UntrustedIdentity(
    `${identity === undefined ? why : `its certificate is ${identity}`}; expected ${expected}`,
  );
}
