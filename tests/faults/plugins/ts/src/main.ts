/**
 * A plugin that misbehaves as its arguments and the keys of Get tell it; tests/faults holds a runtime against it. Its
 * twins are ../../faulty.py and ../../go/main.go: every word means the same in all three.
 *
 * Here is what goes wrong before a plugin has registered: "exit-registering", or "crash-loop FILE" to end at once as
 * often as the file says.
 */

import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { frame, LINK, STDERR } from "./frame.js";

const REGISTRATION = "POST /plugins.v1.RegisterService/RegisterPlugin HTTP/1.1\r\n";

const [fault, crashes = ""] = process.argv.slice(2);
if (fault === "exit-registering") {
  writeSync(LINK, Buffer.concat([frame(1, 1000), Buffer.from(REGISTRATION)]));
  writeSync(STDERR, "half registered\n");
  process.exit(3);
}
if (fault === "crash-loop") {
  const left = Number(readFileSync(crashes, "utf8"));
  if (left > 0) {
    writeFileSync(crashes, String(left - 1));
    process.exit(3);
  }
}
await import("./faulty.js"); // A start that fails need not load all that.
