import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { InstanceService } from "../../gen/ts/plugmux/v1/instance_pb.js";
import { type Configurable, load } from "./configuration.js";
import type { Host } from "./host.js";
import { MAX_INSTANCES } from "./limits.js";
import { errorMessage } from "./errorMessage.js";
import { LENT, type Lent, type References } from "./references.js";

/** The options of `Instances`. */
export interface InstancesOptions<T> extends Configurable<T> {
  /** The services that every instance serves. */
  readonly services: readonly DescService[];
  /** How many instances may be open at once; 10,000 by default. A further one fails with "resource exhausted". */
  readonly limit?: number;
  /**
   * Makes an instance; its `onRelease` is called when the instance ends. What it throws is reported as "invalid argument", a
   * `ConnectError` as it is.
   */
  open(configuration: T, host: Host): Lent | Promise<Lent>;
}

/**
 * Lets one plugin serve many objects, each with its own configuration:
 * `plugin({ instances: new Instances({ services: [SomeService], open: (configuration) => ... }), ... })`. An instance is
 * lent to the runtime: it ends when that releases it, or with the link.
 */
export class Instances<T = unknown> {
  readonly #options: InstancesOptions<T>;
  #open = 0;

  constructor(options: InstancesOptions<T>) {
    this.#options = options;
  }

  /** What the registration says of them. */
  get declared(): { services: string[]; configuration?: { jsonSchema: string } } {
    const { services, schema } = this.#options;
    return {
      services: services.map(({ typeName }) => typeName),
      ...(schema && { configuration: { jsonSchema: JSON.stringify(schema) } }),
    };
  }

  /** Opens them for the runtime. */
  serve(router: ConnectRouter, host: Host): void {
    router.service(InstanceService, {
      open: async ({ configurationJson }, { values, signal }) => {
        const lent = values.get(LENT);
        if (!lent) throw new ConnectError("an instance can be opened on a link only", Code.FailedPrecondition);
        this.#count();
        try {
          return { reference: await this.#lend(await this.#make(configurationJson, host), lent, signal) };
        } catch (error) {
          this.#open--;
          throw error;
        }
      },
    });
  }

  #count(): void {
    const { limit = MAX_INSTANCES } = this.#options;
    if (this.#open >= limit) {
      throw new ConnectError(
        `${limit} instances are open, as many as the plugin allows: release one, or raise the "limit" of its Instances`,
        Code.ResourceExhausted,
      );
    }
    this.#open++;
  }

  async #make(text: string, host: Host): Promise<Lent> {
    try {
      return await this.#options.open(load(text, this.#options), host);
    } catch (error) {
      if (error instanceof ConnectError) throw error;
      throw new ConnectError(errorMessage(error), Code.InvalidArgument);
    }
  }

  /** Nobody would release an instance whose caller has left, or whose link has ended, while it was made. */
  async #lend(instance: Lent, lent: References, signal: AbortSignal): Promise<string> {
    try {
      signal.throwIfAborted();
      return lent.lend({
        routes: (router) => instance.routes(router),
        ...(instance.streams && { streams: instance.streams }),
        onRelease: () => {
          this.#open--;
          return instance.onRelease?.();
        },
      });
    } catch (error) {
      await instance.onRelease?.();
      throw error;
    }
  }
}
