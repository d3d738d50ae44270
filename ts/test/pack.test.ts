/** What `npm pack` makes is whole: it runs outside of the checkout, with nothing but its dependencies. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./peers.js";

const PROGRAM = `
import { plugin } from "plugmux";
import { Link } from "plugmux/link";
import { pluginHost } from "plugmux/testing";
import { Mux } from "plugmux/yamux";
import { ResolverService } from "plugmux/gen/resolver/v1/resolver_pb.js";
console.log([Link.name, Mux.name, pluginHost.name, ResolverService.typeName].join());
await plugin({ version: "v1.0.0" });
`;

test("the packed package has its licence, and runs in another project", () => {
  const directory = mkdtempSync(join(tmpdir(), "plugmux-pack-"));
  try {
    // The scripts would compile again, under the feet of the other tests.
    const options = ["pack", "--silent", "--ignore-scripts", "--pack-destination", directory];
    const tarball = execFileSync("npm", options, { cwd: join(ROOT, "ts"), encoding: "utf8" }).trim();
    const modules = join(directory, "node_modules");
    mkdirSync(join(modules, "plugmux"), { recursive: true });
    execFileSync("tar", ["-xzf", join(directory, tarball), "--strip-components=1", "-C", join(modules, "plugmux")]);
    assert.equal(readFileSync(join(modules, "plugmux/LICENSE"), "utf8"), readFileSync(join(ROOT, "LICENSE"), "utf8"));
    for (const dependency of ["@bufbuild", "@connectrpc"]) {
      symlinkSync(join(ROOT, "node_modules", dependency), join(modules, dependency));
    }
    writeFileSync(join(directory, "program.mjs"), PROGRAM);
    const { status, stdout, stderr } = spawnSync(process.execPath, ["program.mjs"], {
      cwd: directory,
      encoding: "utf8",
    });
    assert.deepEqual([status, stdout], [2, "Link,Mux,pluginHost,resolver.v1.ResolverService\n"], stderr);
    assert.match(stderr, /^program v1\.0\.0 is a plugmux plugin/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
