#!/usr/bin/env node
/** A plugin with a configuration and two protocol versions; tests/interop/configured/configured.py says how. */

import { plugin, Settings } from "plugmux";
import { KeyValueService } from "../../../../examples/gen/ts/kv/v1/kv_pb.js";

interface Options {
  region: string;
  greeting: string;
}

const settings = new Settings<Options>({
  schema: {
    type: "object",
    properties: { region: { type: "string" }, greeting: { type: "string" } },
    required: ["region"],
    additionalProperties: false,
  },
  parse: (value) => ({ greeting: "hello", ...(value as Partial<Options>) }) as Options,
  ...(!process.argv.includes("fixed") && {
    onChange({ greeting }: Options) {
      if (greeting === "forbidden") throw new Error("no such greeting");
    },
  }),
});

await plugin({
  version: "v1.2.0",
  configuration: settings,
  registration: { protocolVersions: [1, 2], capabilities: ["greeting"], labels: { team: "a" } },
  services: (router, host) =>
    router.service(KeyValueService, {
      get() {
        const { greeting, region } = settings.value;
        const text = `${greeting}, region ${region}, protocol ${host.protocolVersion}`;
        return { value: new TextEncoder().encode(text) };
      },
    }),
});
