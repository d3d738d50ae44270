/** A CA for the time of a test, which makes good certificates and bad ones (RFC 5280). */

import { generateKeyPairSync, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { der } from "../src/network/join.js";

export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface Wishes {
  /** Subject alternative names: `URI:...` and `DNS:...`. */
  readonly names?: readonly string[];
  /** Hours from now. */
  readonly begins?: number;
  readonly ends?: number;
  readonly usages?: readonly ("servers" | "clients")[];
  /** Signed by its own key. */
  readonly isSelfSigned?: boolean;
}

const ECDSA_SHA256 = der(0x30, oid("2a8648ce3d040302"));
const USAGES = { servers: oid("2b06010505070301"), clients: oid("2b06010505070302") };
const HOUR = 3_600_000;

export class Authority {
  readonly pem: string;
  readonly #key: KeyObject;
  readonly #name: Buffer;

  constructor(called = "test CA") {
    this.#name = name(called);
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = privateKey;
    const isCa = extension("551d13", der(0x30, der(0x01, Buffer.of(0xff))), true);
    this.pem = pem("CERTIFICATE", this.#sign(certificate(this.#name, this.#name, spki(publicKey), [-1, 24], [isCa])));
  }

  /** A certificate with its key. */
  issue(id: string, { names = [`URI:${id}`], begins = -1, ends = 24, ...rest }: Wishes = {}): Issued {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { usages = ["servers", "clients"], isSelfSigned = false } = rest;
    const subject = name(id);
    const extensions = [
      extension("551d11", der(0x30, ...names.map(alternativeName))),
      extension("551d25", der(0x30, ...usages.map((usage) => USAGES[usage]))),
    ];
    const made = certificate(isSelfSigned ? subject : this.#name, subject, spki(publicKey), [begins, ends], extensions);
    return {
      cert: pem("CERTIFICATE", this.#sign(made, isSelfSigned ? privateKey : this.#key)),
      key: String(privateKey.export({ type: "pkcs8", format: "pem" })),
      ca: this.pem,
    };
  }

  /** A certificate for a signing request whose subject and attributes are empty. */
  answer(request: Uint8Array, id: string): string {
    const [info, , signature] = children(Buffer.from(request)) as [Buffer, Buffer, Buffer];
    const key = children(info)[2] as Buffer;
    const publicKey = { key, format: "der", type: "spki" } as const;
    if (!verify("sha256", info, publicKey, content(signature).subarray(1))) throw new Error("not signed by its key");
    const extensions = [extension("551d11", der(0x30, alternativeName(`URI:${id}`)))];
    return pem("CERTIFICATE", this.#sign(certificate(this.#name, name(id), key, [-1, 24], extensions)));
  }

  #sign(made: Buffer, key = this.#key): Buffer {
    return der(0x30, made, ECDSA_SHA256, der(0x03, Buffer.of(0), sign("sha256", made, key)));
  }
}

/** Writes the files that `TlsOptions.directory` takes; gives the directory. */
export function write({ cert, key, ca }: Issued, directory = mkdtempSync(join(tmpdir(), "plugmux-tls-"))): string {
  for (const [file, text] of Object.entries({ "tls.crt": cert, "tls.key": key, "ca.crt": ca })) {
    writeFileSync(join(directory, `${file}.new`), text, { mode: 0o600 });
    renameSync(join(directory, `${file}.new`), join(directory, file));
  }
  return directory;
}

function certificate(
  issuer: Buffer,
  subject: Buffer,
  publicKey: Buffer,
  hours: readonly [begins: number, ends: number],
  extensions: readonly Buffer[],
): Buffer {
  const version = der(0xa0, der(0x02, Buffer.of(2)));
  const serial = der(0x02, Buffer.of(1), randomBytes(8));
  const validity = der(0x30, ...hours.map((hour) => time(Date.now() + hour * HOUR)));
  return der(
    0x30,
    version,
    serial,
    ECDSA_SHA256,
    issuer,
    validity,
    subject,
    publicKey,
    der(0xa3, der(0x30, ...extensions)),
  );
}

function time(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replace(/\D/g, "").slice(0, 14);
  return der(0x18, Buffer.from(`${digits}Z`));
}

function name(text: string): Buffer {
  return der(0x30, der(0x31, der(0x30, oid("550403"), der(0x0c, Buffer.from(text)))));
}

function alternativeName(text: string): Buffer {
  const colon = text.indexOf(":");
  return der(text.startsWith("URI") ? 0x86 : 0x82, Buffer.from(text.slice(colon + 1)));
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  return der(0x30, oid(id), ...(isCritical ? [der(0x01, Buffer.of(0xff))] : []), der(0x04, value));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

function pem(kind: string, data: Buffer): string {
  return `-----BEGIN ${kind}-----\n${data.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END ${kind}-----\n`;
}

/** The elements of a sequence in DER, each as a whole. */
function children(data: Buffer): Buffer[] {
  const inside = content(data);
  const found: Buffer[] = [];
  for (let at = 0; at < inside.length; ) {
    const { end } = lengthOf(inside.subarray(at));
    found.push(inside.subarray(at, at + end));
    at += end;
  }
  return found;
}

function content(element: Buffer): Buffer {
  const { start, end } = lengthOf(element);
  return element.subarray(start, end);
}

function lengthOf(element: Buffer): { start: number; end: number } {
  const first = element[1] ?? 0;
  if (first < 0x80) return { start: 2, end: 2 + first };
  const size = first & 0x7f;
  return { start: 2 + size, end: 2 + size + element.readUIntBE(2, size) };
}
