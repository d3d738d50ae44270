/** A plugin that does not make its end easy: a timer keeps its loop alive, and a child of its own outlives it. */

import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import type { Duplex } from "node:stream";
import { AuthorizerService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { plugin } from "../src/index.js";

/** Never ends by itself; a promise is rejected that it does not await. */
async function float(stream: Duplex): Promise<void> {
  await once(stream, "data");
  void Promise.reject(new Error("nobody awaits it"));
  await new Promise(() => {});
}

const orders = new EventEmitter();
setInterval(() => {}, 60_000);
console.log("a plugin may print what it likes");

await plugin({
  version: "v1.2.3",
  streams: { float },
  secrets: {
    pattern: "fixture/**",
    *get(pattern) {
      if (pattern !== "fixture/**") return;
      const seen = Object.keys(process.env).filter((name) => name.endsWith("_LAUNCH_CFG"));
      yield { id: "fixture/environment", value: JSON.stringify(seen) };
      const child = spawn("sleep", ["30"], { stdio: "ignore", detached: true });
      yield { id: "fixture/grandchild", value: String(child.pid) };
    },
  },
  services: (router, host) =>
    router.service(AuthorizerService, {
      async authorize({ patterns: [wanted] }) {
        if (wanted === "wait") await once(orders, "go");
        if (wanted === "exit") {
          host.log.info("last words");
          setImmediate(() => orders.emit("go"));
          process.exit(3);
        }
        if (wanted === "float") {
          void Promise.reject(new Error("nobody awaits it"));
          await new Promise(() => {});
        }
        if (wanted === "print") {
          setInterval(() => console.log("a line"), 1);
          return {};
        }
        host.lend({ routes: () => {}, onRelease: () => host.log.info("cleaned up") });
        return {};
      },
    }),
});
