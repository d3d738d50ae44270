// A plugin's link: its streams and their windows, looked at again every second.

import { ConnectError } from "@connectrpc/connect";
import { useEffect, useState } from "preact/hooks";
import type { GetLinkResponse } from "#gen/plugmux/v1/inspect_pb";
import { inspect } from "./client";
import { bytes, duration } from "./format";
import { Empty, Panel, Tile } from "./parts";

export function Link({ plugin }: { plugin: string }) {
  const [link, setLink] = useState<GetLinkResponse>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const aborted = new AbortController();
    const look = async () => {
      while (!aborted.signal.aborted) {
        try {
          setLink(await inspect.getLink({ plugin }, { signal: aborted.signal }));
          setProblem("");
        } catch (error) {
          if (aborted.signal.aborted) return;
          setLink(undefined);
          setProblem(ConnectError.from(error).rawMessage);
        }
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    };
    void look();
    return () => aborted.abort();
  }, [plugin]);
  return (
    <Panel title="Link">
      {problem && <Empty>{problem}</Empty>}
      {link && (
        <>
          <dl class="tiles flat">
            <Tile name="Open streams" value={String(link.open)} />
            <Tile name="Round trip" value={link.roundTripUs ? duration(Number(link.roundTripUs) / 1e6) : "–"} />
            <Tile name="Held" value={bytes(Number(link.heldBytes))} hint={`of ${bytes(Number(link.maxHeldBytes))}`} />
          </dl>
          {link.streams.length === 0 ? (
            <Empty>No stream is open right now.</Empty>
          ) : (
            <div class="scroll tall" tabIndex={0} role="region" aria-label="Streams">
              <table>
                <thead>
                  <tr>
                    <th class="number">Stream</th>
                    <th>Opened by</th>
                    <th>Handshake</th>
                    <th>Sending</th>
                    <th>Receiving</th>
                    <th class="number">May send</th>
                    <th>May receive</th>
                    <th class="number">Waiting</th>
                    <th class="number">Held</th>
                  </tr>
                </thead>
                <tbody>
                  {link.streams.map((stream) => (
                    <tr key={stream.id}>
                      <td class="number mono">{stream.id}</td>
                      <td>{stream.openedByPlugin ? "plugin" : "runtime"}</td>
                      <td>{stream.handshake}</td>
                      <td>{stream.sending}</td>
                      <td>{stream.receiving}</td>
                      <td class="number">{bytes(Number(stream.sendWindow))}</td>
                      <td>
                        <meter
                          min={0}
                          max={Number(stream.window)}
                          value={Number(stream.receiveWindow)}
                          aria-label="Receive window"
                        />
                        {bytes(Number(stream.receiveWindow))}
                      </td>
                      <td class="number">{bytes(Number(stream.pendingBytes))}</td>
                      <td class="number">{bytes(Number(stream.heldBytes))}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </>
      )}
    </Panel>
  );
}
