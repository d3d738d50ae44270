/** Other people's yamux as the far end of a mux: hashicorp/yamux in Go, and the Python one of this repository. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { type Config, Mux, type Role } from "../src/yamux/index.js";

export const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));

/** Builds the Go peer, and gives the path of the program and what removes it. */
export function buildGoPeer(): { readonly program: string; readonly remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "plugmux-peer-"));
  const program = join(directory, "peer");
  execFileSync("go", ["build", "-o", program, "."], { cwd: join(ROOT, "tests/interop/yamux/peer"), stdio: "inherit" });
  return { program, remove: () => rmSync(directory, { recursive: true }) };
}

/** The command that runs the Python peer: with the virtual environment of the checkout, or the Python on PATH. */
export function pythonPeer(): string[] {
  const own = join(ROOT, ".venv/bin/python");
  const environment = `PYTHONPATH=${["py", "gen/python", "tests"].map((path) => join(ROOT, path)).join(":")}`;
  return ["env", environment, existsSync(own) ? own : "python3", join(ROOT, "ts/test/python_peer.py")];
}

/** A running peer and the mux that is joined to it. */
export class Peer {
  readonly mux: Mux;
  readonly #child: ChildProcess;
  readonly #answers: Interface;

  private constructor(mux: Mux, child: ChildProcess) {
    if (!child.stdout) throw new Error("the peer has no standard output");
    this.mux = mux;
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout });
  }

  /** Starts a program that takes `-fd` and `-client`, and joins a mux in the given role to it. */
  static start(command: readonly string[], role: Role, config: Partial<Config> = {}): Peer {
    const [program = "", ...options] = command;
    const isClient = role === "server";
    const child = spawn(program, [...options, "-fd=3", `-client=${isClient}`], {
      stdio: ["pipe", "pipe", "inherit", "pipe"],
    });
    const near = child.stdio[3] as Duplex;
    return new Peer(new Mux({ role, input: near, output: near, config }), child);
  }

  /** Gives a command, and waits for the answer. */
  async tell(command: string): Promise<Readonly<Record<string, unknown>>> {
    this.#child.stdin?.write(`${command}\n`);
    const [line] = (await once(this.#answers, "line")) as [string];
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, "exit");
    await this.mux.close();
    this.#child.stdin?.end();
    await exited;
  }
}
