import type { ConnectRouter } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { ConfigurationService } from "../../gen/ts/plugmux/v1/configuration_pb.js";
import { ConfigError } from "./errors.js";
import { errorMessage } from "./errorMessage.js";

/** How a configuration is validated and parsed. */
export interface Configurable<T> {
  /** A JSON schema against which the runtime validates configurations; none by default. */
  readonly schema?: object;
  /** Parses the JSON object, and throws to reject it; by default the object is used as it is. */
  readonly parse?: (value: unknown) => T;
}

/** The options of `Settings`. */
export interface SettingsOptions<T> extends Configurable<T> {
  /**
   * Called when the configuration changes while the plugin runs, before `value` returns the new one. Throw to reject the
   * change. Without `onChange` a change restarts the plugin.
   */
  readonly onChange?: (value: T) => void | Promise<void>;
}

/**
 * Holds a plugin's configuration, which is set before the plugin's first call:
 * `plugin({ configuration: settings, ... })`, and `settings.value` in a handler.
 */
export class Settings<T> {
  readonly #options: SettingsOptions<T>;
  #current: { value: T } | undefined;

  constructor(options: SettingsOptions<T> = {}) {
    this.#options = options;
  }

  /**
   * The present configuration.
   *
   * @throws ConfigError before the plugin has registered.
   */
  get value(): T {
    if (!this.#current) throw new ConfigError("the configuration comes with the registration: read it in a handler");
    return this.#current.value;
  }

  /** What the registration says of it. */
  get declared(): { jsonSchema: string; reloadable: boolean } {
    const { schema, onChange } = this.#options;
    return { jsonSchema: schema ? JSON.stringify(schema) : "", reloadable: onChange !== undefined };
  }

  /** Begins with the configuration that came with the registration, as JSON; none counts as `{}`. */
  take(text: string): void {
    this.#current = { value: load(text, this.#options) };
  }

  /** Serves the changes. */
  serve(router: ConnectRouter): void {
    router.service(ConfigurationService, {
      configure: async ({ configurationJson }) => {
        try {
          const value = load(configurationJson, this.#options);
          await this.#options.onChange?.(value);
          this.#current = { value };
        } catch (error) {
          throw new ConnectError(`the plugin has refused it: ${errorMessage(error)}`, Code.InvalidArgument);
        }
        return {};
      },
    });
  }
}

/** The value of a configuration that comes as JSON; none counts as `{}`. */
export function load<T>(text: string, { parse }: Configurable<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text || "{}");
  } catch {
    throw new ConfigError("the configuration is not JSON"); // What JSON.parse says quotes it, and it may be secret.
  }
  return parse ? parse(value) : (value as T);
}
