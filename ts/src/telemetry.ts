/**
 * Measures calls with OpenTelemetry, by its conventions for RPC: `rpc.server.call.duration` and
 * `rpc.client.call.duration` in seconds, and the calls under way, `plugmux.server.active_calls` and
 * `plugmux.client.active_calls`. Needs the package `@opentelemetry/api`; nothing else of plugmux loads it.
 *
 *     await plugin({ version: "v1.0.0", interceptors: [serverMetrics()], services });
 */

import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { type Attributes, type Meter, metrics } from "@opentelemetry/api";

/**
 * Upper bounds of the buckets, in seconds: those that the conventions advise, and shorter ones, since a call to a plugin
 * takes about 0.1 ms.
 */
const BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The codes that are errors of a server; of a client all are. (The conventions for Connect RPC.) */
const FAULTS_OF_SERVERS: readonly Code[] = [
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
];

/** Options of `serverMetrics` and `clientMetrics`. */
export interface MetricsOptions {
  /** Makes the instruments; by default the meter of the global provider. */
  readonly meter?: Meter;
  /** Gives milliseconds; by default `performance.now`. */
  readonly now?: () => number;
}

/** An interceptor for a plugin that measures the calls that it serves. */
export function serverMetrics(options: MetricsOptions = {}): Interceptor {
  return measured("server", (code) => FAULTS_OF_SERVERS.includes(code), options);
}

/** An interceptor for a client that measures the calls that it makes. */
export function clientMetrics(options: MetricsOptions = {}): Interceptor {
  return measured("client", () => true, options);
}

function measured(end: string, isError: (code: Code) => boolean, options: MetricsOptions): Interceptor {
  const meter = options.meter ?? metrics.getMeter("plugmux");
  const now = options.now ?? (() => performance.now());
  const duration = meter.createHistogram(`rpc.${end}.call.duration`, {
    unit: "s",
    description: `How long a call took, at its ${end}.`,
    advice: { explicitBucketBoundaries: BOUNDS },
  });
  const active = meter.createUpDownCounter(`plugmux.${end}.active_calls`, {
    unit: "{call}",
    description: `Calls under way, at their ${end}.`,
  });

  return (next) => async (request) => {
    const told: Attributes = {
      "rpc.system.name": "connectrpc",
      "rpc.method": `${request.service.typeName}/${request.method.name}`,
    };
    const began = now();
    active.add(1, told);
    let ended = false;
    const finish = (code?: Code): void => {
      if (ended) return;
      ended = true;
      active.add(-1, told);
      const outcome: Attributes = code === undefined ? {} : { "rpc.response.status_code": nameOf(code) };
      if (code !== undefined && isError(code)) outcome["error.type"] = nameOf(code);
      duration.record((now() - began) / 1000, { ...told, ...outcome });
    };
    try {
      const response = await next(request);
      if (response.stream) {
        // Whoever leaves a stream of connect-es says so by the signal alone.
        request.signal.addEventListener("abort", () => finish(ConnectError.from(request.signal.reason).code));
        return { ...response, message: untilTheEnd(response.message, finish) };
      }
      finish();
      return response;
    } catch (error) {
      finish(ConnectError.from(error).code);
      throw error;
    }
  };
}

/** The messages of a stream; tells how it ended, also when its reader leaves it. */
async function* untilTheEnd<Message>(
  messages: AsyncIterable<Message>,
  finish: (code?: Code) => void,
): AsyncGenerator<Message> {
  let code: Code | undefined = Code.Canceled;
  try {
    yield* messages;
    code = undefined;
  } catch (error) {
    code = ConnectError.from(error).code;
    throw error;
  } finally {
    finish(code);
  }
}

/** A code as the wire writes it: `not_found`. */
function nameOf(code: Code): string {
  return (Code[code] ?? "Unknown").replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}
