#!/usr/bin/env node
/** A plugin whose protos have the names of plugmux's own. */

import { plugin } from "plugmux";
import { PulseService } from "../../gen/ts/health/v1/health_pb.js";
import { CatalogService, RunStatus } from "../../gen/ts/plugins/v1/plugins_pb.js";

await plugin({
  version: "v1.0.0",
  services(router) {
    router.service(CatalogService, {
      listPlugins: ({ shop }) => ({
        plugin: { title: `of ${shop}`, since: { seconds: 7n }, status: RunStatus.ASLEEP },
      }),
    });
    router.service(PulseService, { getVersion: ({ patient }) => ({ beats: patient.length }) });
  },
});
