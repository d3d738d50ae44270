// The services that the page uses, as clients on the address that it came from.

import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { PluginManagementService } from "#gen/plugins/v1/plugins_pb";
import { InspectService } from "#gen/plugmux/v1/inspect_pb";
import { InspectorService } from "#gen/plugmux/v1/inspector_pb";
import { RuntimeService } from "#gen/plugmux/v1/runtime_pb";

const transport = createConnectTransport({
  baseUrl: new URL(".", location.href).href.replace(/\/$/, ""),
  useBinaryFormat: true,
});

export const inspect = createClient(InspectService, transport);
export const inspector = createClient(InspectorService, transport);
export const management = createClient(PluginManagementService, transport);
export const runtime = createClient(RuntimeService, transport);
