#!/usr/bin/env node
// A plugin in TypeScript that takes files through raw streams.
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { plugin } from "plugmux";

/** Writes a file: the first line is its name, the rest is its content. Answers its SHA-256. */
async function copy(stream: Duplex): Promise<void> {
  const digest = createHash("sha256");
  let head = Buffer.alloc(0);
  let file;
  for await (let chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (!file) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\n");
      if (end < 0) continue;
      file = await open(head.subarray(0, end).toString(), "w");
      chunk = head.subarray(end + 1);
    }
    digest.update(chunk);
    await file.write(chunk);
  }
  await file?.close();
  stream.end(digest.digest("hex"));
}

await plugin({ version: "v1.0.0", streams: { copy } });
