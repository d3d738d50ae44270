#!/usr/bin/env node
// A cloud as a plugin: one process, and an instance for every region that the host asks for.
import { Code, ConnectError } from "@connectrpc/connect";
import { type Host, Instances, type Lent, plugin } from "plugmux";
import { FileService, ProgressService, StorageService } from "../gen/ts/cloud/v1/cloud_pb.js";

/** The configuration of a region: its name, and how many bytes it keeps. */
interface Settings {
  readonly region: string;
  readonly quota: number;
}

const schema = {
  type: "object",
  properties: { region: { type: "string" }, quota: { type: "integer" } },
  required: ["region"],
  additionalProperties: false,
};

function parse(value: unknown): Settings {
  const { region, quota = 1 << 20 } = value as Partial<Settings>;
  if (!region) throw new Error("region must not be empty");
  return { region, quota };
}

/** An instance. It knows nothing of the others. */
function open({ region, quota }: Settings, host: Host): Lent {
  const files = new Map<string, Uint8Array>();

  function contentOf(name: string): Uint8Array {
    const content = files.get(name);
    if (!content) throw new ConnectError(`region ${region} has no file ${JSON.stringify(name)}`, Code.NotFound);
    return content;
  }

  return {
    routes: (router) =>
      router.service(StorageService, {
        async upload({ name, content, progress }) {
          const used = [...files.values()].reduce((sum, { length }) => sum + length, 0);
          if (used + content.length > quota) {
            throw new ConnectError(`the quota of ${quota} bytes is used up`, Code.ResourceExhausted);
          }
          if (progress) {
            const told = host.at(progress).client(ProgressService);
            for (const percent of [0, 50, 100]) await told.report({ percent });
          }
          files.set(name, content);
          return { address: `${region}/${name}` };
        },
        open: ({ name }) => ({ file: host.lend(file(contentOf(name))) }),
        async copy({ name, to }) {
          const { address } = await host
            .at(to)
            .client(StorageService)
            .upload({ name, content: contentOf(name) });
          return { address };
        },
      }),
  };
}

/** One file, lent to the caller that opened it. */
function file(content: Uint8Array): Lent {
  return { routes: (router) => router.service(FileService, { read: () => ({ content }) }) };
}

await plugin({ version: "v1.0.0", instances: new Instances({ services: [StorageService], schema, parse, open }) });
