/** Why a handshake has failed, in words: what came, what was expected, and which end refused. */

import { X509Certificate } from "node:crypto";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { errorMessage } from "../errorMessage.js";
import type { Credentials } from "./credentials.js";
import { UntrustedIdentity } from "./identity.js";

/** Why a peer has refused our certificate, by the TLS alert that it sent (RFC 8446, 6.2). */
const ALERTS: readonly (readonly [name: string, words: string])[] = [
  ["CERTIFICATE_EXPIRED", "it has expired, by its clock"],
  ["UNKNOWN_CA", "it trusts another CA"],
  ["BAD_CERTIFICATE", "it is not valid, by its clock or rules"],
  ["UNSUPPORTED_CERTIFICATE", "its extended key usage does not fit"],
  ["CERTIFICATE_REQUIRED", "it wants a certificate, and none was given"],
  ["CERTIFICATE_UNKNOWN", "it does not accept it"],
  ["CERTIFICATE_REVOKED", "it has been revoked"],
  ["ACCESS_DENIED", "it does not accept it"],
];
const OLDER = ["UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE", "WRONG_SSL_VERSION"];
const NO_TLS = [
  "WRONG_VERSION_NUMBER",
  "HTTP_REQUEST",
  "HTTPS_PROXY_REQUEST",
  "PACKET_LENGTH_TOO_LONG",
  "RECORD_LAYER_FAILURE",
];
const ENDED = ["ECONNRESET", "EPIPE"];

/** The alert that a peer has sent, in words; undefined where an error is none. */
export function alertOf(error: unknown): string | undefined {
  const code = codeOf(error);
  return ALERTS.find(([name]) => code.endsWith(`ALERT_${name}`))?.[1];
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** The error of a handshake, in words. */
export function refusal(error: unknown, credentials: Credentials): string {
  const code = codeOf(error);
  const alert = alertOf(error);
  if (alert !== undefined) return `it refused our certificate ${credentials.describe()}: ${alert}`;
  if (OLDER.some((name) => code.includes(name))) return "it speaks no TLS 1.3";
  if (NO_TLS.some((name) => code.includes(name))) return "it does not speak TLS";
  if (ENDED.includes(code)) return "it ended the connection during the TLS handshake";
  return `the TLS handshake failed: ${errorMessage(error)}`;
}

/**
 * The certificate of a peer.
 *
 * @param end what the peer is, `a server` or `a client`.
 * @throws UntrustedIdentity when it has shown none, or one that is not valid.
 */
export function verified(socket: TLSSocket, credentials: Credentials, end: string): X509Certificate {
  // Not getPeerX509Certificate, which gives the certificate once and then undefined.
  const { raw } = socket.getPeerCertificate() as Partial<PeerCertificate>;
  if (!raw) throw new UntrustedIdentity("it showed no certificate, and mutual TLS needs one");
  const certificate = new X509Certificate(raw);
  if (!socket.authorized || socket.authorizationError) {
    throw new UntrustedIdentity(`its certificate ${fault(certificate, socket.authorizationError, credentials, end)}`);
  }
  return certificate;
}

function fault(certificate: X509Certificate, error: unknown, credentials: Credentials, end: string): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const foreign = `is signed by no CA of ${credentials.origin}`;
  const words: Readonly<Record<string, string>> = {
    CERT_HAS_EXPIRED: `has expired (it was valid until ${certificate.validTo})`,
    CERT_NOT_YET_VALID: `is not valid yet (it is from ${certificate.validFrom})`,
    DEPTH_ZERO_SELF_SIGNED_CERT: `is self-signed, and not one of the CAs of ${credentials.origin}`,
    SELF_SIGNED_CERT_IN_CHAIN: foreign,
    UNABLE_TO_GET_ISSUER_CERT: foreign,
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: foreign,
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: foreign,
    CERT_SIGNATURE_FAILURE: foreign,
    INVALID_PURPOSE: `may not be used by ${end} (extended key usage)`,
    INVALID_CA: "is signed by one that is no CA",
  };
  return words[code] ?? `is not valid: ${code}`;
}
