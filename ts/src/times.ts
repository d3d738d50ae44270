/**
 * Times as the wire has them. Docker's programs send the first instant of year 1 for a time that is unset and take an
 * absent one for 1970, so an unset time goes out as year 1, and one that comes from year 1 is unset.
 */

import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromDate, TimestampSchema } from "@bufbuild/protobuf/wkt";

/** 0001-01-01T00:00:00Z and 0002-01-01T00:00:00Z, in seconds since 1970. */
const YEAR_1 = -62_135_596_800n;
const YEAR_2 = -62_104_060_800n;

export function toTimestamp(date: Date | undefined): Timestamp {
  return date ? timestampFromDate(date) : create(TimestampSchema, { seconds: YEAR_1 });
}

/** The time of a timestamp; undefined where it is unset. */
export function fromTimestamp(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && timestamp.seconds >= YEAR_2 ? timestampDate(timestamp) : undefined;
}
