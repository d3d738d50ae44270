/**
 * How a plugin that a runtime has started on another machine gets a certificate. Its launch configuration has the
 * fingerprint of the runtime's CA and a token that works once. The key is made here and kept in memory alone.
 */

import { createHash, generateKeyPairSync, type KeyObject, sign, timingSafeEqual, X509Certificate } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { JoinService } from "../../../gen/ts/plugmux/v1/join_pb.js";
import { DialError } from "../errors.js";
import { errorMessage } from "../errorMessage.js";
import { MAX_TIMER } from "../limits.js";
import { type NetworkAddress, written } from "./address.js";
import { ALPN, checkServer } from "./connect.js";
import { Credentials } from "./credentials.js";
import { connect as connectTls, type SecureContextOptions, type TLSSocket } from "node:tls";

/** The place and the proofs that a launch configuration gives. */
export interface Invitation {
  readonly address: NetworkAddress;
  /** Works once. */
  readonly token: string;
  /** `sha256:` and 64 hexadecimal digits. */
  readonly fingerprint: string;
}

const RENEWAL_RETRY = 60_000;
const MAX_ANSWER = 64 * 1024;

type Warn = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

/**
 * Gets a certificate.
 *
 * @param timeout milliseconds for each of the two requests.
 * @returns the credentials, and what ends their renewal.
 * @throws DialError when the runtime is another one, or gives none.
 */
export async function join(
  invitation: Invitation,
  timeout: number,
  warn: Warn,
): Promise<{ credentials: Credentials; end: () => void }> {
  const at = written(invitation.address);
  const ca = await authority(invitation, timeout);
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ type: "pkcs8", format: "pem" });
  const csr = signingRequest(privateKey, publicKey);
  const checker = Credentials.inMemory({ ca }, [], warn);
  const request = async (token: string, present: SecureContextOptions): Promise<SecureContextOptions> => {
    const check = (socket: TLSSocket): void => checkServer(socket, checker, invitation.address.host);
    const client = clientOf(invitation.address, present, timeout, check);
    const { certificatePem: cert } = await client.join({ token, csr }, { timeoutMs: timeout });
    if (!new X509Certificate(cert).checkPrivateKey(privateKey)) throw new Error("its certificate is for another key");
    return { ca, cert, key };
  };
  try {
    const credentials = Credentials.inMemory(await request(invitation.token, { ca }), [], warn);
    return { credentials, end: renew(credentials, request, warn) };
  } catch (error) {
    throw new DialError(`the runtime at ${at} gave this plugin no certificate: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

/**
 * Asks for the CA and holds it against the fingerprint. Nothing secret is sent. Only the certificate of the fingerprint
 * is returned: an impostor's answer may hold that one and its own behind it.
 */
async function authority({ address, fingerprint }: Invitation, timeout: number): Promise<string> {
  const at = written(address);
  let ca: X509Certificate;
  let came: string;
  try {
    const { caPem } = await clientOf(address, {}, timeout, () => {}).getAuthority({}, { timeoutMs: timeout });
    ca = new X509Certificate(caPem);
    came = `sha256:${createHash("sha256").update(ca.raw).digest("hex")}`;
  } catch (error) {
    throw new DialError(`the runtime at ${at} did not name its CA: ${errorMessage(error)}`, { cause: error });
  }
  if (came.length !== fingerprint.length || !timingSafeEqual(Buffer.from(came), Buffer.from(fingerprint))) {
    throw new DialError(
      `the runtime at ${at} is not the one that launched this plugin: its CA is ${came}, and the launch names ${fingerprint}`,
    );
  }
  return ca.toString();
}

/**
 * A client whose connections are given to `check` before anything is sent.
 *
 * @param timeout milliseconds for a handshake. A call that ends does not end it: node knows a connection once it is made.
 */
function clientOf(
  { host, port }: NetworkAddress,
  context: SecureContextOptions,
  timeout: number,
  check: (socket: TLSSocket) => void,
) {
  const transport = createConnectTransport({
    httpVersion: "1.1",
    baseUrl: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    readMaxBytes: MAX_ANSWER,
    nodeOptions: {
      createConnection: (_: unknown, tell?: (error: Error | null, socket: TLSSocket) => void) => {
        const socket = connectTls({
          ...context,
          host,
          port,
          minVersion: "TLSv1.3",
          ALPNProtocols: ALPN,
          rejectUnauthorized: false,
          checkServerIdentity: () => undefined,
        });
        const timer = setTimeout(() => socket.destroy(), Math.min(timeout, MAX_TIMER));
        socket.once("close", () => clearTimeout(timer));
        socket.once("error", (error) => tell?.(error, socket));
        socket.once("secureConnect", () => {
          clearTimeout(timer);
          try {
            check(socket);
            tell?.(null, socket);
          } catch (error) {
            socket.destroy();
            tell?.(error as Error, socket);
          }
        });
        return undefined as never;
      },
    },
  });
  return createClient(JoinService, transport);
}

/** Renews the certificate whenever two thirds of its life are over; returns what ends that. */
function renew(
  credentials: Credentials,
  request: (token: string, present: SecureContextOptions) => Promise<SecureContextOptions>,
  warn: Warn,
): () => void {
  let timer: NodeJS.Timeout;
  const wait = (least = 0): void => {
    const { validFrom, validTo } = new X509Certificate(String(credentials.options.cert));
    const [begins, ends] = [Date.parse(validFrom), Date.parse(validTo)];
    const due = renewalDue(begins, ends, Date.now());
    timer = setTimeout(() => void again(), Math.min(Math.max(due, least), MAX_TIMER));
    timer.unref();
  };
  const again = async (): Promise<void> => {
    try {
      credentials.replace(await request("", credentials.options));
      wait();
    } catch (error) {
      warn("the certificate was not renewed", { error: errorMessage(error), certificate: credentials.describe() });
      wait(RENEWAL_RETRY);
    }
  };
  wait();
  return () => clearTimeout(timer);
}

/**
 * How many milliseconds a certificate is kept. By a clock that is ahead of the runtime's, each new one is due or over at once.
 */
export function renewalDue(begins: number, ends: number, now: number): number {
  const left = ends - now;
  const least = left > 0 ? Math.min(left / 10, RENEWAL_RETRY) : RENEWAL_RETRY;
  return Math.max(begins + ((ends - begins) * 2) / 3 - now, least);
}

/** A signing request (PKCS #10, RFC 2986) with an empty subject, signed with ECDSA and SHA-256. */
export function signingRequest(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const version = der(0x02, Buffer.of(0));
  const subject = der(0x30);
  const attributes = der(0xa0);
  const info = der(0x30, version, subject, publicKey.export({ type: "spki", format: "der" }), attributes);
  const ecdsaWithSha256 = der(0x30, der(0x06, Buffer.from("2a8648ce3d040302", "hex")));
  const signature = der(0x03, Buffer.of(0), sign("sha256", info, privateKey));
  return der(0x30, info, ecdsaWithSha256, signature);
}

/** One element of DER: a tag, the length, and the content. */
export function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const size = body.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}
