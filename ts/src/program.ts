import { parseAddress } from "./dial.js";
import { ConfigError, PlugmuxError } from "./errors.js";
import { type LaunchConfig, SOCKET_VARIABLE, takeLaunchConfig } from "./launch.js";
import { Plugin, type PluginOptions } from "./plugin.js";

const FAILED = 1;
const WRONG_USAGE = 2;

/**
 * Runs a plugin as this process' only business: serves until the runtime or a signal ends it, and then ends the process.
 *
 * The exit status is 0 after an orderly end, or what a handler has given to `process.exit`; 1 when the runtime could not be reached or refused the plugin, and 2 when
 * there is no runtime: a plugin that is started by hand says on stderr what it is.
 */
export async function plugin(options: PluginOptions): Promise<never> {
  const self = new Plugin(options);
  process.once("exit", () => self.printLog());
  // A host that has died reads no output; that must not end the clean-up.
  for (const output of [process.stdout, process.stderr]) output.on("error", ignoreBrokenPipe);
  let status: number | string | null | undefined = 0;
  self.trackProcess((wanted) => {
    status = wanted ?? process.exitCode ?? 0;
    self.stop();
  });
  try {
    const config = takeLaunchConfig(process.env);
    const address = options.socket ?? process.env[SOCKET_VARIABLE];
    if (!config && !address) return explain(self);
    process.once("SIGTERM", () => self.stop());
    // Ctrl-C at a terminal that both share reaches the runtime as well: it ends its plugins when it has done with them.
    if (config?.terminal) process.on("SIGINT", () => {});
    else process.once("SIGINT", () => self.stop());
    await serve(self, config, address);
    return process.exit(status);
  } catch (error) {
    if (!(error instanceof PlugmuxError)) throw error;
    process.stderr.write(`${self.registration.name}: ${error.message}\n`);
    return process.exit(error instanceof ConfigError ? WRONG_USAGE : FAILED);
  }
}

function ignoreBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}

async function serve(self: Plugin, config: LaunchConfig | undefined, address = ""): Promise<void> {
  if (config) return self.serveLaunched(config);
  parseAddress(address);
  return self.serveDialling(address);
}

function explain({ registration: { name, version, services, metadata, instances } }: Plugin): never {
  const kind = metadata.case === "secretsProvider" ? [`secrets ${metadata.value.pattern}`] : [];
  const each = instances?.services.map((service) => `${service} (instances)`) ?? [];
  const command = process.argv[1] ?? name;
  process.stderr.write(`\
${name} ${version} is a plugmux plugin: a runtime starts it, or it connects to one that runs.
It serves: ${[...kind, ...services, ...each].join(", ") || "no services"}.

  plugmux plugins --plugin ${command}     launch it and show it
  ${SOCKET_VARIABLE}=unix:/path ${command}    connect it to the runtime that listens there
`);
  return process.exit(WRONG_USAGE);
}
