import type { ConnectRouter } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { ConfigurationService } from "../../gen/ts/plugmux/v1/configuration_pb.js";
import { ConfigError } from "./errors.js";

/** What a plugin says about the configuration that it takes. */
export interface SettingsOptions<T> {
  /** The JSON schema that a configuration must satisfy, which the runtime sees to; none by default. */
  readonly schema?: object;
  /** Makes the configuration of the JSON object, and throws where it cannot; the object itself by default. */
  readonly parse?: (value: unknown) => T;
  /**
   * Called with a changed configuration while the plugin runs, before `value` is that. What it throws refuses the
   * change. Without it a change restarts the plugin.
   */
  readonly onChange?: (value: T) => void | Promise<void>;
}

/**
 * A plugin's configuration as a value of its own type, there before the plugin serves:
 * `plugin({ configuration: settings, ... })`, and `settings.value` in a handler.
 */
export class Settings<T> {
  readonly #options: SettingsOptions<T>;
  #current: { value: T } | undefined;

  constructor(options: SettingsOptions<T> = {}) {
    this.#options = options;
  }

  /** The configuration as it is now. */
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
    this.#current = { value: this.#load(text) };
  }

  /** Serves the changes. */
  serve(router: ConnectRouter): void {
    router.service(ConfigurationService, {
      configure: async ({ configurationJson }) => {
        try {
          const value = this.#load(configurationJson);
          await this.#options.onChange?.(value);
          this.#current = { value };
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error);
          throw new ConnectError(`the plugin has refused it: ${reason}`, Code.InvalidArgument);
        }
        return {};
      },
    });
  }

  #load(text: string): T {
    const value: unknown = JSON.parse(text || "{}");
    return this.#options.parse ? this.#options.parse(value) : (value as T);
  }
}
