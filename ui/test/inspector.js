// Starts what the tests need: a runtime with plugins, `plugmux ui` over it, and a browser.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const ROOT = resolve(import.meta.dirname, "../..");
const PYTHON = join(ROOT, ".venv/bin/python");
const ENVIRONMENT = {
  ...process.env,
  PATH: `${join(ROOT, ".venv/bin")}:${process.env.PATH}`,
  PYTHONPATH: join(ROOT, "examples/gen/python"),
};

/** A program, whose lines can be waited for. */
class Program {
  constructor(...command) {
    this.process = spawn(PYTHON, command, { env: ENVIRONMENT, stdio: ["pipe", "pipe", "inherit"], cwd: ROOT });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    this.ended = new Promise((done) => this.process.once("exit", done));
  }

  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`${this.process.spawnargs.join(" ")} has ended`);
    return value;
  }

  async ask() {
    this.process.stdin.write("\n");
    return (await this.line()).split(" ").map(Number);
  }

  async end() {
    this.process.stdin.end();
    this.process.kill("SIGTERM");
    await this.ended;
  }
}

export async function startHost(...options) {
  const directory = mkdtempSync(join(tmpdir(), "plugmux-ui-"));
  const address = `unix:${directory}/private/runtime.sock`;
  const host = new Program(join(ROOT, "tests/ui/host.py"), address, ...options);
  while ((await host.line()) !== "ready");
  const end = async () => {
    host.process.stdin.end();
    await host.ended;
    rmSync(directory, { recursive: true, force: true });
  };
  return { address, ask: () => host.ask(), end };
}

/** `plugmux ui`, and the address that it prints. */
export async function startInspector(...options) {
  const program = new Program("-m", "plugmux.cli", "ui", "--no-open", ...options);
  return { url: await program.line(), end: () => program.end() };
}

export async function startBrowser(...more) {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
  return await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...args, "--disable-component-update", "--disable-sync", ...more],
  });
}
