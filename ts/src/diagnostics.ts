import type { ConnectRouter } from "@connectrpc/connect";
import { DiagnosticsService } from "../../gen/ts/plugmux/v1/diagnostics_pb.js";

/** Tells a runtime what the plugin waits for. JavaScript keeps no stacks of what is waiting. */
export function serveDiagnostics(router: ConnectRouter): void {
  router.service(DiagnosticsService, { dump: () => ({ text: describe() }) });
}

function describe(): string {
  const resources = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) resources.set(kind, (resources.get(kind) ?? 0) + 1);
  const { rss, heapUsed, heapTotal } = process.memoryUsage();
  return [
    `node ${process.version}, up for ${process.uptime().toFixed(0)} s`,
    `memory: ${mebibytes(rss)} resident, ${mebibytes(heapUsed)} of ${mebibytes(heapTotal)} of the heap used`,
    "the event loop waits for:",
    ...[...resources].map(([kind, count]) => `  ${count} ${kind}`),
  ].join("\n");
}

function mebibytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(0)} MiB`;
}
