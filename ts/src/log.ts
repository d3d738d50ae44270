import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { LogLevel, type LogRecord, LogRecordSchema, type LogService } from "../../gen/ts/plugmux/v1/log_pb.js";
import {
  LAST_LOG_SEND_TIMEOUT,
  LOG_RESEND_DELAY,
  LOG_SEND_TIMEOUT,
  MAX_LOG_TEXT,
  MAX_QUEUED_RECORDS,
  MAX_RECORDS_PER_REQUEST,
} from "./limits.js";
import { withTimeout } from "./withTimeout.js";

/** The codes of a runtime that would refuse the same records again, so that they would hold up all later ones. */
const REFUSED: readonly Code[] = [Code.InvalidArgument, Code.ResourceExhausted];

/** The fields of a record besides its message. Values are written as JSON, errors with their stack. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * Sends log records to the runtime. Logging does not block: records wait in a queue of 1,000, and the runtime is told how many
 * of the oldest were dropped when it was full. If the runtime has no log service, records go to stderr.
 */
export interface Logger {
  /** Logs details for whoever looks for a fault. */
  debug(message: string, fields?: Fields): void;
  /** Logs an ordinary event. */
  info(message: string, fields?: Fields): void;
  /** Logs something unexpected that does not stop the plugin. */
  warn(message: string, fields?: Fields): void;
  /** Logs that something failed. */
  error(message: string, fields?: Fields): void;
}

/** The logger of a plugin. It stays the same when the plugin connects to a runtime again. */
export class LogQueue implements Logger {
  #waiting: LogRecord[] = [];
  /** Those that are being sent: better written twice than never, where the process ends meanwhile. */
  #underway: LogRecord[] = [];
  #dropped = 0;
  #client: Client<typeof LogService> | undefined;
  #sending: Promise<void> = Promise.resolve();
  #isSending = false;
  #toStderr = false;

  debug(message: string, fields?: Fields): void {
    this.#put(LogLevel.DEBUG, message, fields);
  }

  info(message: string, fields?: Fields): void {
    this.#put(LogLevel.INFO, message, fields);
  }

  warn(message: string, fields?: Fields): void {
    this.#put(LogLevel.WARNING, message, fields);
  }

  error(message: string, fields?: Fields): void {
    this.#put(LogLevel.ERROR, message, fields);
  }

  /** Sends over a link, once the plugin has registered there. */
  attach(client: Client<typeof LogService>): void {
    this.#client = client;
    this.#toStderr = false;
    this.#wake();
  }

  /** Sends no more until the next `attach`. */
  detach(): void {
    this.#client = undefined;
  }

  /** Waits until everything has been sent, for a second at most. */
  async flush(): Promise<void> {
    await withTimeout(LAST_LOG_SEND_TIMEOUT, this.#sending);
  }

  /** Writes what the runtime has not taken, and all that comes, to stderr. */
  giveUp(): void {
    this.#toStderr = true;
    const records = [...this.#underway.splice(0), ...this.#waiting.splice(0)];
    for (const { message, fieldsJson } of records) process.stderr.write(`${message} ${fieldsJson}\n`);
  }

  #put(level: LogLevel, message: string, fields: Fields = {}): void {
    const record = create(LogRecordSchema, {
      time: timestampNow(),
      level,
      message: message.slice(0, MAX_LOG_TEXT),
      fieldsJson: asJson(fields),
    });
    this.#waiting.push(record);
    if (this.#toStderr) this.giveUp();
    this.#bound();
    this.#wake();
  }

  #bound(): void {
    this.#dropped += this.#waiting.splice(0, this.#waiting.length - MAX_QUEUED_RECORDS).length;
  }

  #wake(): void {
    if (this.#isSending || !this.#client || this.#waiting.length === 0) return;
    this.#isSending = true;
    this.#sending = this.#send().finally(() => {
      this.#isSending = false;
    });
  }

  async #send(): Promise<void> {
    while (this.#client && this.#waiting.length > 0) {
      const records = (this.#underway = this.#waiting.splice(0, MAX_RECORDS_PER_REQUEST));
      const dropped = this.#dropped;
      this.#dropped = 0;
      try {
        await this.#client.write({ records, dropped: BigInt(dropped) }, { timeoutMs: LOG_SEND_TIMEOUT });
        this.#underway = [];
      } catch (error) {
        const { code } = ConnectError.from(error);
        const unsent = this.#underway.splice(0);
        this.#dropped += dropped;
        if (REFUSED.includes(code)) this.#dropped += unsent.length;
        else this.#waiting.unshift(...unsent);
        this.#bound();
        if (code === Code.Unimplemented) return this.giveUp();
        await new Promise((resolve) => setTimeout(resolve, LOG_RESEND_DELAY).unref());
      }
    }
  }
}

/** A value that JSON cannot hold, and which need not have a text either, such as an object without a prototype. */
function asText(value: unknown): string {
  try {
    return String(value);
  } catch {
    return `[${typeof value}]`;
  }
}

function asJson(fields: Fields): string {
  let text: string;
  try {
    text = JSON.stringify(fields, (_, value: unknown) => {
      if (value instanceof Error) return value.stack ?? String(value);
      return typeof value === "bigint" ? String(value) : value;
    });
  } catch {
    text = JSON.stringify(Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, asText(value)])));
  }
  if (text === "{}") return "";
  return text.length <= MAX_LOG_TEXT ? text : JSON.stringify({ cut: text.slice(0, MAX_LOG_TEXT / 4) });
}
