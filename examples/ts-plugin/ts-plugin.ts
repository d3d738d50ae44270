#!/usr/bin/env node
import { EventEmitter, on } from "node:events";
import { Code, ConnectError } from "@connectrpc/connect";
import { plugin } from "plugmux";
import { KeyValueService } from "../gen/ts/kv/v1/kv_pb.js";

const values = new Map<string, Uint8Array>();
const changes = new EventEmitter().setMaxListeners(0);

await plugin({
  version: "v1.0.0",
  secrets: {
    pattern: "ts/**",
    get: () => [{ id: "ts/greeting", value: "hello from TypeScript" }],
  },
  services: (router, host) =>
    router.service(KeyValueService, {
      get({ key }) {
        const value = values.get(key);
        if (!value) throw new ConnectError(`no value for ${key}`, Code.NotFound);
        return { value };
      },
      put({ key, value }) {
        values.set(key, value);
        host.log.info("put", { key });
        changes.emit(`put ${key}`, value);
        return {};
      },
      async *watch({ key }, { signal }) {
        const changed = on(changes, `put ${key}`, { signal });
        const value = values.get(key);
        if (value) yield { value };
        for await (const [value] of changed) yield { value };
      },
    }),
});
