import { EventEmitter, once } from "node:events";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import {
  HealthCheckResponse_ServingStatus as Status,
  type HealthCheckResponseSchema,
  HealthService,
} from "../../gen/ts/plugmux/v1/health_pb.js";

type Response = MessageInitShape<typeof HealthCheckResponseSchema>;

/** Where gRPC's health checking protocol is served, and where our own definition of it has its handlers. */
export const HEALTH_ALIAS = { from: "/grpc.health.v1.Health/", to: `/${HealthService.typeName}/` } as const;

/** Which services are ready; "" is the plugin as a whole. */
export class Health {
  readonly #serving = new Map([["", true]]);
  readonly #changes = new EventEmitter().setMaxListeners(0);

  set(service: string, serving: boolean): void {
    this.#serving.set(service, serving);
    this.#changes.emit("change");
  }

  /** Adds a service that is ready as long as nobody has said anything of it. */
  know(service: string): void {
    if (!this.#serving.has(service)) this.#serving.set(service, true);
  }

  serve(router: ConnectRouter): void {
    router.service(HealthService, {
      check: ({ service }): Response => {
        const status = this.#status(service);
        if (status === Status.SERVICE_UNKNOWN) {
          throw new ConnectError(`no service ${JSON.stringify(service)} is known here`, Code.NotFound);
        }
        return { status };
      },
      watch: ({ service }, { signal }) => this.#watch(service, signal),
    });
  }

  async *#watch(service: string, signal: AbortSignal): AsyncGenerator<Response> {
    for (let told: Status | undefined; ; ) {
      const changed = once(this.#changes, "change", { signal });
      changed.catch(() => {}); // It is waited for below, unless the caller leaves first.
      const status = this.#status(service);
      if (status !== told) yield { status };
      told = status;
      await changed;
    }
  }

  #status(service: string): Status {
    const serving = this.#serving.get(service);
    if (serving === undefined) return Status.SERVICE_UNKNOWN;
    return serving ? Status.SERVING : Status.NOT_SERVING;
  }
}
