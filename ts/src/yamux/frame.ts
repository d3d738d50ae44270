/** The 12-byte header of a frame, and its constants (yamux spec, "Framing"). */

import { ProtocolViolation } from "../errors.js";

export const HEADER_SIZE = 12;

/** The window that both ends assume for a new stream, in bytes and per direction. */
export const INITIAL_WINDOW = 256 * 1024;

/** The largest value of a 32-bit field: the highest stream id, and the bound on the sum of a window. */
export const MAX_UINT32 = 0xffff_ffff;

const VERSION = 0;

export const FrameType = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const;

export const Flag = { syn: 1, ack: 2, fin: 4, rst: 8 } as const;

const KNOWN_FLAGS = Flag.syn | Flag.ack | Flag.fin | Flag.rst;

export const GoAwayCode = { normal: 0, protocolError: 1, internalError: 2 } as const;

export type GoAwayCode = (typeof GoAwayCode)[keyof typeof GoAwayCode];

const GO_AWAY_REASONS: Readonly<Record<number, string>> = {
  [GoAwayCode.protocolError]: "a protocol error",
  [GoAwayCode.internalError]: "an internal error",
};

/** Describes the code of a go-away for an error message; undefined for an orderly end. */
export function goAwayReason(code: number): string | undefined {
  return code === GoAwayCode.normal ? undefined : (GO_AWAY_REASONS[code] ?? `the unknown code ${code}`);
}

/** The fields of a header. The meaning of `length` depends on the type. */
export interface Header {
  readonly version: number;
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly length: number;
}

export function encodeHeader(type: number, flags: number, streamId: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_SIZE);
  bytes[0] = VERSION;
  bytes[1] = type;
  bytes.writeUInt16BE(flags, 2);
  bytes.writeUInt32BE(streamId, 4);
  bytes.writeUInt32BE(length, 8);
  return bytes;
}

export function decodeHeader(bytes: Buffer, offset: number): Header {
  return {
    version: bytes.readUInt8(offset),
    type: bytes.readUInt8(offset + 1),
    flags: bytes.readUInt16BE(offset + 2),
    streamId: bytes.readUInt32BE(offset + 4),
    length: bytes.readUInt32BE(offset + 8),
  };
}

/** Describes what makes a header invalid regardless of the session's state; undefined if it is valid. */
export function faultOf({ version, type, flags, streamId }: Header): string | undefined {
  if (version !== VERSION) return `version ${version} is not known`;
  if (flags & ~KNOWN_FLAGS) return `flags 0x${flags.toString(16)} are not known`;
  if (type > FrameType.goAway) return `type ${type} is not known`;
  if (type > FrameType.windowUpdate && streamId !== 0) return "only stream 0 can be meant";
  if (type === FrameType.ping && flags !== Flag.syn && flags !== Flag.ack) return "a ping has SYN, its answer ACK";
  return undefined;
}

const TYPE_NAMES = ["data", "window update", "ping", "go away"];
const FLAG_NAMES = ["SYN", "ACK", "FIN", "RST"];

/** Describes a frame for error messages: `data frame SYN|FIN on stream 3, length 17`. */
export function describe(header: Header): string {
  const type = TYPE_NAMES[header.type] ?? `type ${header.type}`;
  const flags = FLAG_NAMES.filter((_, bit) => header.flags & (1 << bit)).join("|");
  return `${type} frame${flags && ` ${flags}`} on stream ${header.streamId}, length ${header.length}`;
}

export function violation(header: Header, rule: string): ProtocolViolation {
  return new ProtocolViolation(`${describe(header)}: ${rule}`);
}
