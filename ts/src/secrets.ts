import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  type GetSecretsResponse_EnvelopeSchema,
  type GetSecretsResponse_Envelope,
  GetSecretsResponseSchema,
  ResolverService,
} from "../../gen/ts/resolver/v1/resolver_pb.js";
import { isPattern, matches } from "./pattern.js";
import { fromTimestamp, toTimestamp } from "./times.js";

/** How many ids a warning names. */
const MAX_IDS_TOLD = 10;

/** A secret with its metadata. */
export interface Secret {
  /** Components of letters, digits and `._:-`, joined by slashes. */
  readonly id: string;
  /** The secret itself; a string is sent as UTF-8. Never log it. */
  readonly value: string | Uint8Array;
  /** The provider's own name for this version of the value. */
  readonly version?: string;
  /** When the value was created. */
  readonly createdAt?: Date;
  /** When the value becomes invalid. */
  readonly expiresAt?: Date;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** What makes a plugin a secrets provider. */
export interface SecretsProvider {
  /** The ids that the plugin can answer for, such as `vault/**`; others that it gives are left out. */
  readonly pattern: string;
  /**
   * Gives the secrets that `pattern` asks for: a list, a promise of one, or a generator. Those that the pattern does
   * not match are left out, so that a small provider may give all it has. None at all is the error "not found".
   */
  get(pattern: string, context: HandlerContext): Iterable<Secret> | AsyncIterable<Secret> | Promise<Iterable<Secret>>;
}

/** The secret in an envelope, as a resolver gives it; for plugins that call the runtime's `ResolverService`. */
export function fromEnvelope(envelope: GetSecretsResponse_Envelope): Secret & { readonly value: Uint8Array } {
  const { id, value, version, metadata } = envelope;
  const createdAt = fromTimestamp(envelope.createdAt);
  const expiresAt = fromTimestamp(envelope.expiresAt);
  return { id, value, version, metadata, ...(createdAt && { createdAt }), ...(expiresAt && { expiresAt }) };
}

/**
 * Serves a provider as `resolver.v1.ResolverService`.
 *
 * @param warn is told of secrets that are left out, because the provider's own pattern does not match them.
 */
export function serveSecrets(
  router: ConnectRouter,
  provider: SecretsProvider,
  warn: (message: string, fields: { ids: string[]; pattern: string }) => void,
): void {
  router.service(ResolverService, {
    async getSecrets({ pattern }, context) {
      if (!isPattern(pattern)) {
        const rule = 'components joined by slashes, each "*", "**", or letters, digits and ._:-';
        throw new ConnectError(`the pattern is not well formed: it must be ${rule}`, Code.InvalidArgument);
      }
      const envelopes = [];
      const foreign: string[] = [];
      for await (const secret of await provider.get(pattern, context)) {
        if (!matches(provider.pattern, secret.id)) foreign.push(secret.id);
        else if (matches(pattern, secret.id)) envelopes.push(toEnvelope(secret));
      }
      if (foreign.length > 0) {
        const ids = foreign.slice(0, MAX_IDS_TOLD);
        warn(`${foreign.length} secrets were left out: the plugin's own pattern does not match them`, {
          ids,
          pattern: provider.pattern,
        });
      }
      if (envelopes.length === 0) throw new ConnectError("no secret matches the pattern", Code.NotFound);
      return create(GetSecretsResponseSchema, { envelopes });
    },
  });
}

function toEnvelope(secret: Secret): MessageInitShape<typeof GetSecretsResponse_EnvelopeSchema> {
  const { id, value, version = "", createdAt, expiresAt, metadata = {} } = secret;
  return {
    id,
    value: typeof value === "string" ? new TextEncoder().encode(value) : value,
    version,
    createdAt: toTimestamp(createdAt),
    resolvedAt: toTimestamp(undefined),
    expiresAt: toTimestamp(expiresAt),
    metadata: { ...metadata },
  };
}
