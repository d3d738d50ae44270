/** The plugin, once nothing has gone wrong before: it misbehaves as the keys of Get tell it. */

import { spawn } from "node:child_process";
import { closeSync, writeSync } from "node:fs";
import { Code, ConnectError } from "@connectrpc/connect";
import { plugin } from "plugmux";
import { KeyValueService } from "../../../../../examples/gen/ts/kv/v1/kv_pb.js";
import { frame, LINK, STDERR } from "./frame.js";

const MEBIBYTE = 1 << 20;

/** Ends the process at once, as native code would: `process.exit` in a handler ends a plugin in order. */
const { reallyExit } = process as unknown as { reallyExit(status: number): never };

const faults: Record<string, (argument: string) => string | Promise<string>> = {
  pid: () => String(process.pid),
  hang,
  exit: () => {
    writeSync(STDERR, "on my way out\n");
    return reallyExit(7);
  },
  fail: () => {
    throw new Error("no such luck");
  },
  garbage: () => {
    writeSync(LINK, "garbage on the link, and more of it");
    return hang();
  },
  halfframe: async () => {
    writeSync(LINK, Buffer.concat([frame(0x7fffffff, 100), Buffer.from("half of it")]));
    process.kill(process.pid, "SIGKILL");
    return hang();
  },
  unlink: (hearing) => {
    process.removeAllListeners("SIGTERM");
    if (hearing === "deaf") process.on("SIGTERM", () => undefined);
    closeSync(LINK);
    return String(Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
  },
  child: (kind) => String(spawn("sleep", ["3600"], { stdio: "inherit", detached: kind === "detached" }).pid),
  flood: async (mebibytes) => {
    const block = ("x".repeat(65535) + "\n").repeat(MEBIBYTE / 65536);
    for (let count = 0; count < Number(mebibytes); count++) {
      await new Promise((written) => process.stderr.write(block, written));
    }
    return mebibytes;
  },
};

async function hang(): Promise<string> {
  return new Promise(() => undefined);
}

await plugin({
  version: "v1.0.0",
  services: (router) =>
    router.service(KeyValueService, {
      async get({ key }) {
        const [word = "", argument = ""] = key.split(" ");
        const fault = faults[word];
        if (!fault) throw new ConnectError(`no fault ${word}`, Code.NotFound);
        return { value: new TextEncoder().encode(await fault(argument)) };
      },
    }),
});
