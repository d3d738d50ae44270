/** A small runtime in this process. */

import { after, before } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import {
  type RegisterPluginRequest,
  RegisterPluginResponseSchema,
  RegisterService,
} from "../../gen/ts/plugins/v1/plugins_pb.js";
import { AuthorizerService } from "../../gen/ts/resolver/v1/resolver_pb.js";
import { Plugin, type PluginOptions } from "../src/index.js";
import { Link, LinkApp } from "../src/link.js";
import { connectionPair } from "../src/memoryConnection.js";

/** Keeps the process alive during the tests of a file: a connection in memory does not, as a socket does. */
export function keepAlive(): void {
  let alive: NodeJS.Timeout;
  before(() => {
    alive = setInterval(() => {}, 60_000);
  });
  after(() => clearInterval(alive));
}

export interface RuntimeOptions {
  /** Called before the answer to a registration. */
  readonly onRegister?: () => Promise<void> | void;
  readonly streams?: PluginOptions["streams"];
  /** Further services. */
  readonly routes?: (router: ConnectRouter) => void;
}

export function runtimeApp({ onRegister, streams = {}, routes }: RuntimeOptions = {}): {
  app: LinkApp;
  registrations: RegisterPluginRequest[];
} {
  const registrations: RegisterPluginRequest[] = [];
  const app = new LinkApp({
    routes: (router) => {
      routes?.(router);
      router
        .service(RegisterService, {
          async registerPlugin(request) {
            registrations.push(request);
            await onRegister?.();
            return create(RegisterPluginResponseSchema, { engineName: "test", configurationJson: '{"a":1}' });
          },
        })
        .service(AuthorizerService, { authorize: ({ patterns }) => ({ decision: patterns.length }) });
    },
    streams,
  });
  return { app, registrations };
}

/** A plugin that serves on one end of a pair, and a runtime at the other. */
export function start(
  options: Partial<PluginOptions>,
  runtimeOptions: RuntimeOptions = {},
  plugin = new Plugin({ version: "v1.0.0", ...options }),
) {
  const [near, far] = connectionPair();
  const { app, registrations } = runtimeApp(runtimeOptions);
  const link = new Link({ role: "server", app, input: near, output: near });
  const over = plugin.serveOnce({ input: far, output: far }, "given", 60_000);
  return { link, registrations, plugin, over };
}
