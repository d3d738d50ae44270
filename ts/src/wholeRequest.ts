/**
 * Parses requests that have come as a whole: a head of the plainest form, and a body of the length that the head names.
 * Every other request is left to the HTTP parser of Node.js, which also tells the caller what is wrong with it.
 */

const HEAD_END = "\r\n\r\n";
/** The longest head that is parsed here, in bytes; that of a call has about 200. */
const MAX_HEAD = 4096;
/** A path without query, escapes and anything else that the path of a method does not have. */
const REQUEST_LINE = /^POST (\/[A-Za-z0-9_.]+\/[A-Za-z0-9_]+) HTTP\/1\.1$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)[ \t]*$/;
const HOST = /^[a-z0-9.-]+(?::[0-9]+)?$/;
const LENGTH = /^[0-9]{1,9}$/;
/** Fields that change how the rest is read, or ask for something besides the response. */
const SPECIAL = new Set(["content-encoding", "expect", "trailer", "transfer-encoding", "upgrade"]);

/** Heads up to this size are remembered, up to this number: the calls of a method mostly have the same one. */
const MAX_REMEMBERED = 1024;
const MAX_HEADS = 64;

/** The head of a request. */
interface Head {
  readonly path: string;
  readonly url: string;
  /** The header fields; their names are in lower case. */
  readonly fields: ReadonlyMap<string, string>;
  readonly type: string;
  /** Whether the caller wants the connection to end with the response. */
  readonly close: boolean;
  /** The bytes that the body has. */
  readonly length: number;
}

/** A request that has come as a whole. */
export interface WholeRequest extends Head {
  readonly body: Uint8Array;
}

const remembered = new Map<string, Head>();

/** Returns the request that `data` is; undefined where it is not the whole of one of the plainest form. */
export function parseWholeRequest(data: Buffer): WholeRequest | undefined {
  const end = data.indexOf(HEAD_END);
  if (end < 0 || end > MAX_HEAD) return undefined;
  const text = data.toString("latin1", 0, end);
  const head = remembered.get(text) ?? parseHead(text);
  const start = end + HEAD_END.length;
  if (head?.length !== data.length - start) return undefined;
  const { path, url, fields, type, close, length } = head;
  const body = new Uint8Array(data.subarray(start)); // a copy: the handler may keep what refers to it
  return { path, url, fields, type, close, length, body };
}

function parseHead(text: string): Head | undefined {
  const [first = "", ...lines] = text.split("\r\n");
  const path = REQUEST_LINE.exec(first)?.[1];
  const fields = parseFields(lines);
  if (path === undefined || !fields) return undefined;
  const length = fields.get("content-length") ?? "";
  const host = fields.get("host") ?? "";
  const url = `http://${host}${path}`;
  if (!LENGTH.test(length) || !HOST.test(host) || !URL.canParse(url)) return undefined;
  const connection = fields.get("connection")?.toLowerCase() ?? "keep-alive";
  if (connection !== "keep-alive" && connection !== "close") return undefined;
  const type = fields.get("content-type") ?? "";
  const head = { path, url, fields, type, close: connection === "close", length: Number(length) };
  if (remembered.size >= MAX_HEADS) remembered.clear();
  if (text.length <= MAX_REMEMBERED) remembered.set(text, head);
  return head;
}

/** Returns the fields; undefined where one is not plain, or stands twice. */
function parseFields(lines: readonly string[]): ReadonlyMap<string, string> | undefined {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name = "", value = ""] = FIELD.exec(line) ?? [];
    const key = name.toLowerCase();
    if (key === "" || fields.has(key) || SPECIAL.has(key)) return undefined;
    fields.set(key, value);
  }
  return fields;
}
