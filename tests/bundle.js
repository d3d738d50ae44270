// Writes the TypeScript programs that tests launch as one file each: build/ts/NAME.js, and NAME without the suffix.
//
// Node reads the modules of a program one by one: a plugin has two hundred, and starts in half the time without them.
// tests/interop/test_matrix.py launches what tsc has written.

import { rmSync, symlinkSync } from "node:fs";
import { build } from "esbuild";

const INTEROP = "tests/interop/ts/dist/tests/interop/ts/src";
const PROGRAMS = {
  "ts-plugin": "examples/ts-plugin/dist/ts-plugin.js",
  "ts-cloud": "examples/cloud/dist/ts-cloud",
  "ts-copy": "examples/copy/dist/ts-copy",
  faulty: "tests/faults/plugins/ts/dist/tests/faults/plugins/ts/src/main.js",
  configured: `${INTEROP}/configured.js`,
  host: `${INTEROP}/host.js`,
  probe: `${INTEROP}/probe.js`,
};

const given = process.argv.slice(2);
const names = given.length ? given : Object.keys(PROGRAMS);
await build({
  entryPoints: Object.fromEntries(names.map((name) => [name, PROGRAMS[name]])),
  outdir: "build/ts",
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  logLevel: "warning",
});
for (const name of names) {
  rmSync(`build/ts/${name}`, { force: true });
  symlinkSync(`${name}.js`, `build/ts/${name}`);
}
