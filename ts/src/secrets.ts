import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  type GetSecretsResponse_EnvelopeSchema,
  GetSecretsResponseSchema,
  ResolverService,
} from "../../gen/ts/resolver/v1/resolver_pb.js";
import { matches } from "./pattern.js";

/** A secret, and what is known about it. */
export interface Secret {
  /** Components of letters, digits and `._:-`, joined by slashes. */
  readonly id: string;
  readonly value: string | Uint8Array;
  /** The version in the provider's own words. */
  readonly version?: string;
  readonly createdAt?: Date;
  /** When the value stops being valid. */
  readonly expiresAt?: Date;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** What a plugin that provides secrets has to give. */
export interface SecretsProvider {
  /** The ids that the plugin can answer for, such as `vault/**`. */
  readonly pattern: string;
  /**
   * Gives the secrets that `pattern` asks for: a list, a promise of one, or a generator. Those that the pattern does
   * not match are left out, so that a small provider may give all it has. None at all is the error "not found".
   */
  get(pattern: string, context: HandlerContext): Iterable<Secret> | AsyncIterable<Secret> | Promise<Iterable<Secret>>;
}

/** Serves a provider as `resolver.v1.ResolverService`. */
export function serveSecrets(router: ConnectRouter, provider: SecretsProvider): void {
  router.service(ResolverService, {
    async getSecrets({ pattern }, context) {
      const envelopes = [];
      for await (const secret of await provider.get(pattern, context)) {
        if (matches(pattern, secret.id)) envelopes.push(envelope(secret));
      }
      if (envelopes.length === 0) throw new ConnectError("no secret matches the pattern", Code.NotFound);
      return create(GetSecretsResponseSchema, { envelopes });
    },
  });
}

function envelope(secret: Secret): MessageInitShape<typeof GetSecretsResponse_EnvelopeSchema> {
  const { id, value, version = "", createdAt, expiresAt, metadata = {} } = secret;
  return {
    id,
    value: typeof value === "string" ? new TextEncoder().encode(value) : value,
    version,
    ...(createdAt && { createdAt: timestampFromDate(createdAt) }),
    ...(expiresAt && { expiresAt: timestampFromDate(expiresAt) }),
    metadata: { ...metadata },
  };
}
