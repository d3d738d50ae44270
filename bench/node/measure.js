// Measuring one system: what measure.py and peers/ do, for peers that are written for Node.js. Each work prints one row.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const KIB64 = 64 * 1024;
const MIB = 1024 * 1024;
// The part of a measurement's time that comes before it and is not counted.
const WARM_UP = 0.25;

/**
 * Runs a system's program: started with a path it serves there, else it starts itself once more to do that, and measures.
 *
 * `serve(path)` resolves when the server listens. `connect(path)` gives `echo`, `download` and `upload`, each of which
 * takes what it is to move and throws where something else arrives, and `close`.
 */
export async function run(system, program, { serve, connect }) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    args: process.argv.slice(2).map((argument) => argument.replace(/^-(?=\w)/, "--")),
    options: { seconds: { type: "string", default: "1" }, works: { type: "string", default: "" } },
  });
  const [path] = positionals;
  if (path !== undefined) {
    await serve(path);
    process.stdout.write("ready\n");
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "bench-"));
  const socket = join(folder, "s");
  const server = spawn(process.execPath, [program, socket], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [ended] = await Promise.race([once(server.stdout, "data").then(() => []), once(server, "exit")]);
    if (ended !== undefined) throw new Error(`the server of ${system} ended with ${ended}`);
    const client = await connect(socket);
    await measure(new Bench(system, values.works.split(",").filter(Boolean), Number(values.seconds)), client);
    await client.close();
  } finally {
    server.kill("SIGKILL");
    await rm(folder, { recursive: true });
  }
}

async function measure(bench, { echo, download, upload }) {
  await bench.calls("unary-serial", 1, 100, echo);
  await bench.calls("ts-unary-16", 16, 100, echo);
  await bench.calls("unary-64k", 1, KIB64, echo);
  await bench.stream("stream-100b", 5_000, 100, download);
  await bench.stream("stream-64k", 500, KIB64, download);
  await bench.stream("upload-64k", 500, KIB64, upload);
}

class Bench {
  constructor(system, works, seconds) {
    this.system = system;
    this.works = works;
    this.milliseconds = seconds * 1e3;
  }

  wants(work) {
    return this.works.length === 0 || this.works.includes(work);
  }

  row(work, figures) {
    const rounded = Object.entries(figures).map(([name, figure]) => [name, Math.round(figure * 100) / 100]);
    process.stdout.write(`${JSON.stringify({ work, system: this.system, ...Object.fromEntries(rounded) })}\n`);
  }

  // Single calls, a number of them in flight, each of which moves `size` bytes there and back.
  async calls(work, inFlight, size, call) {
    if (!this.wants(work)) return;
    await loop(inFlight, size, this.milliseconds * WARM_UP, call);
    const begin = performance.now();
    const took = await loop(inFlight, size, this.milliseconds, call);
    const rate = (took.length / (performance.now() - begin)) * 1e3;
    took.sort((a, b) => a - b);
    this.row(work, {
      p50_us: took[Math.floor(took.length / 2)] * 1e3,
      p99_us: took[Math.floor((took.length * 99) / 100)] * 1e3,
      per_s: rate,
      mib_per_s: (rate * size) / MIB,
      n: took.length,
    });
  }

  // Streams of `count` messages of `size` bytes each, one after another; the median of them counts.
  async stream(work, count, size, move) {
    if (!this.wants(work)) return;
    await repeat(this.milliseconds * WARM_UP, count, size, move);
    const took = (await repeat(this.milliseconds, count, size, move)).sort((a, b) => a - b);
    const rate = (count / took[Math.floor(took.length / 2)]) * 1e3;
    this.row(work, { per_s: rate, mib_per_s: (rate * size) / MIB, n: count * took.length });
  }
}

// Calls for a time, and gives the milliseconds that each call took.
async function loop(inFlight, size, milliseconds, call) {
  const took = [];
  const payload = new Uint8Array(size);
  const deadline = performance.now() + milliseconds;
  const caller = async () => {
    for (let begin = performance.now(); begin < deadline; ) {
      await call(payload);
      const end = performance.now();
      took.push(end - begin);
      begin = end;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return took;
}

async function repeat(milliseconds, count, size, move) {
  const took = [];
  for (let left = milliseconds; left > 0; left -= took.at(-1)) {
    const begin = performance.now();
    await move(count, size);
    took.push(performance.now() - begin);
  }
  return took;
}

/** Throws where a system has moved other than it should. */
export function whole(got, wanted) {
  if (got !== wanted) throw new Error(`${got} bytes came in place of ${wanted}`);
}
