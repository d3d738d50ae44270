// Calls one method of a plugin: a form or raw JSON, what comes back, and what was called before.

import type { DescMethod, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { useEffect, useRef, useState } from "preact/hooks";
import type { CallResponse_Ended } from "#gen/plugmux/v1/inspector_pb";
import { inspector } from "./client";
import { Fields } from "./form";
import { clock, duration, shellWord } from "./format";
import { Copy, Empty, Panel } from "./parts";
import { fault, KINDS, masked, type Schema } from "./schema";
import { push } from "./series";
import { about } from "./store";

const MAX_SHOWN = 500;
const MAX_HISTORY = 30;

interface Past {
  time: number;
  request: string;
  code: string;
  duration: number;
}

interface Answer {
  time: number;
  text: string;
  sent?: boolean;
}

interface Running {
  call: string;
  abort: AbortController;
}

const histories = new Map<string, Past[]>();

export function Console({ plugin, schema, method }: { plugin: string; schema: Schema; method: DescMethod }) {
  const name = `${schema.service.typeName}/${method.name}`;
  const key = `${plugin}\n${name}`;
  const [value, setValue] = useState<JsonObject>({});
  const [raw, setRaw] = useState<string>();
  const [version, setVersion] = useState(0);
  const [running, setRunning] = useState<Running>();
  const [answers, setAnswers] = useState<Answer[]>([]);
  const [ended, setEnded] = useState<CallResponse_Ended>();
  const [wrong, setWrong] = useState("");
  const collected = useRef<Answer[]>([]);
  const history = histories.get(key) ?? [];
  const takesStream = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";

  const latest = useRef<AbortController>();
  useEffect(() => () => latest.current?.abort(), []);

  const parsed = (): JsonValue | undefined => {
    try {
      const message = raw === undefined ? value : (JSON.parse(raw) as JsonValue);
      const found = fault(method.input, message, schema.registry);
      setWrong(found);
      return found ? undefined : message;
    } catch (error) {
      setWrong(String(error).replace(/^SyntaxError: /, ""));
      return undefined;
    }
  };

  const show = (answer: Answer) => {
    push(collected.current, answer, MAX_SHOWN);
    if (collected.current.length === 1) setAnswers([...collected.current]);
    else requestAnimationFrame(() => setAnswers([...collected.current]));
  };

  const begin = async () => {
    const message = takesStream ? {} : parsed();
    if (message === undefined || running) return;
    const abort = (latest.current = new AbortController());
    collected.current = [];
    setAnswers([]);
    setEnded(undefined);
    setWrong("");
    setRunning({ call: "", abort });
    const shown = takesStream ? "" : JSON.stringify(masked(message, method.input));
    let outcome = { code: "canceled", durationUs: 0n };
    try {
      const request = {
        plugin,
        method: name,
        requestsJson: takesStream ? [] : [JSON.stringify(message)],
        more: takesStream,
      };
      for await (const { event } of inspector.call(request, { signal: abort.signal })) {
        if (event.case === "begun") setRunning({ call: event.value.call, abort });
        if (event.case === "messageJson") show({ time: Date.now(), text: pretty(event.value) });
        if (event.case === "ended") setEnded((outcome = event.value));
      }
    } catch (error) {
      if (!abort.signal.aborted) setWrong(ConnectError.from(error).rawMessage);
    } finally {
      setRunning(undefined);
      setAnswers([...collected.current]);
      const past = { time: Date.now(), request: shown, code: outcome.code, duration: Number(outcome.durationUs) / 1e6 };
      histories.set(key, [past, ...history].slice(0, MAX_HISTORY));
    }
  };

  const send = async () => {
    const message = parsed();
    if (message === undefined || !running) return;
    try {
      await inspector.send({ call: running.call, messageJson: JSON.stringify(message) });
      show({ time: Date.now(), text: pretty(JSON.stringify(masked(message, method.input))), sent: true });
    } catch (error) {
      setWrong(ConnectError.from(error).rawMessage);
    }
  };

  const end = () => {
    if (running)
      void inspector
        .endRequests({ call: running.call })
        .catch((error) => setWrong(ConnectError.from(error).rawMessage));
  };

  const refill = (past: Past) => {
    try {
      setValue(JSON.parse(past.request || "{}") as JsonObject);
      setRaw(undefined);
      setVersion(version + 1);
    } catch {
      setRaw(past.request);
    }
  };

  const command = () => {
    let message: JsonValue = value;
    try {
      if (raw !== undefined) message = JSON.parse(raw) as JsonValue;
    } catch {
      // It is copied as the form has it.
    }
    return commandLine(plugin, name, masked(message, method.input));
  };

  return (
    <Panel
      title={method.name}
      extra={
        <span class="muted">
          <span class="tag">{KINDS[method.methodKind]}</span> {method.input.name} → {method.output.name}
        </span>
      }
    >
      <form
        class="console"
        onSubmit={(event) => {
          event.preventDefault();
          void (running && takesStream ? send() : begin());
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            event.currentTarget.requestSubmit();
          }
        }}
      >
        <div class="request">
          <div class="switch" role="group" aria-label="Write the request as">
            <button
              type="button"
              aria-pressed={raw === undefined}
              onClick={() => {
                if (raw !== undefined) {
                  const message = parsed();
                  if (message === undefined) return;
                  setValue(message as JsonObject);
                  setRaw(undefined);
                  setVersion(version + 1);
                }
              }}
            >
              Form
            </button>
            <button
              type="button"
              aria-pressed={raw !== undefined}
              onClick={() => setRaw(raw ?? JSON.stringify(value, null, 2))}
            >
              JSON
            </button>
          </div>
          {raw === undefined ? (
            <Fields key={version} message={method.input} value={value} set={setValue} />
          ) : (
            <textarea
              class="mono raw"
              aria-label="Request as JSON"
              rows={Math.min(24, Math.max(6, raw.split("\n").length))}
              value={raw}
              spellcheck={false}
              onInput={(event) => setRaw(event.currentTarget.value)}
            />
          )}
          {wrong && (
            <p class="problem" role="alert">
              {wrong}
            </p>
          )}
          <div class="actions">
            {!running && (
              <button type="submit" class="primary">
                {takesStream ? "Open the stream" : "Call"}
              </button>
            )}
            {running && takesStream && (
              <>
                <button type="submit" class="primary">
                  Send this message
                </button>
                <button type="button" onClick={end}>
                  End the requests
                </button>
              </>
            )}
            {running && (
              <button type="button" onClick={() => running.abort.abort()}>
                Cancel
              </button>
            )}
            <Copy text={command}>Copy as plugmux call</Copy>
          </div>
          <p class="note">Ctrl+Enter {takesStream ? "opens the stream, or sends the message" : "calls"}.</p>
        </div>
        <div class="response" aria-live="polite" aria-label="Response">
          {running && (
            <p class="busy">
              {answers.length ? `${answers.length} messages, waiting for more` : "Waiting for an answer"}
            </p>
          )}
          {ended && <Outcome ended={ended} messages={answers.filter((answer) => !answer.sent).length} />}
          {answers.map((answer, index) => (
            <figure key={index} class={answer.sent ? "sent" : ""}>
              <figcaption>
                {answer.sent ? "sent" : "received"} {clock(answer.time)}
              </figcaption>
              <pre tabIndex={0}>{answer.text}</pre>
            </figure>
          ))}
          {!running && !ended && answers.length === 0 && <Empty>The answer appears here.</Empty>}
        </div>
      </form>
      {history.length > 0 && (
        <details class="history">
          <summary>History ({history.length})</summary>
          <ul>
            {history.map((past, index) => (
              <li key={index}>
                <button type="button" class="quiet" onClick={() => refill(past)}>
                  <time>{clock(past.time, false)}</time>
                  <span class={past.code ? "bad" : "good"}>{past.code || "ok"}</span>
                  <span>{duration(past.duration)}</span>
                  <code>{past.request || "(stream)"}</code>
                </button>
              </li>
            ))}
          </ul>
        </details>
      )}
    </Panel>
  );
}

function Outcome({ ended, messages }: { ended: CallResponse_Ended; messages: number }) {
  return (
    <div class={ended.code ? "ended bad" : "ended good"} role="status">
      <b>{ended.code || "ok"}</b>
      <span>
        {duration(Number(ended.durationUs) / 1e6)} · {messages === 1 ? "1 message" : `${messages} messages`}
      </span>
      {ended.message && <p>{ended.message}</p>}
      {ended.details.map((detail, index) => (
        <figure key={index}>
          <figcaption>
            detail <code>{detail.type}</code>
          </figcaption>
          <pre tabIndex={0}>
            {detail.json ? pretty(detail.json) : `${detail.bytes} bytes of a message that the schema does not have`}
          </pre>
        </figure>
      ))}
    </div>
  );
}

function commandLine(plugin: string, method: string, request: JsonValue): string {
  const target = about.value.commands.flatMap((command) => ["--plugin", command]);
  if (about.value.address) target.push("--connect", about.value.address);
  return ["plugmux", "call", method, JSON.stringify(request), ...target, "--name", plugin].map(shellWord).join(" ");
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
