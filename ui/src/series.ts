// Numbers over time, of which the last few minutes are kept, and latencies in buckets.

export const POINTS = 240;

/** The sums of calls, as they stand at one moment. */
export interface Sums {
  calls: number;
  errors: number;
  inFlight: number;
  seconds: number;
  requestBytes: number;
  responseBytes: number;
  latency: number[];
}

export const noCalls = (): Sums => ({
  calls: 0,
  errors: 0,
  inFlight: 0,
  seconds: 0,
  requestBytes: 0,
  responseBytes: 0,
  latency: [],
});

export function addTo(sums: Sums, more: Sums): void {
  sums.calls += more.calls;
  sums.errors += more.errors;
  sums.inFlight += more.inFlight;
  sums.seconds += more.seconds;
  sums.requestBytes += more.requestBytes;
  sums.responseBytes += more.responseBytes;
  more.latency.forEach((value, bucket) => (sums.latency[bucket] = (sums.latency[bucket] ?? 0) + value));
}

/** The shortest time that falls into a bucket, in seconds. (inspect.proto, MethodCalls.latency) */
export function lowerBound(bucket: number): number {
  if (bucket === 0) return 0;
  const [octave, quarter] = [Math.floor((bucket - 1) / 4), (bucket - 1) % 4];
  return (2 ** octave * (4 + quarter)) / 4e6;
}

export function quantile(counts: number[], share: number): number | undefined {
  let left = sum(counts) * share;
  if (left === 0) return undefined;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    left -= counts[bucket] ?? 0;
    if ((counts[bucket] ?? 0) > 0 && left <= 0) return lowerBound(bucket + 1);
  }
  return lowerBound(counts.length);
}

/** What became of calls from one report to the next, for as long as the page shows. */
export class Series {
  readonly rate: number[] = [];
  readonly errors: number[] = [];
  readonly median: (number | undefined)[] = [];
  readonly slowest: (number | undefined)[] = [];
  now: Sums = noCalls();
  private before: Sums = noCalls();
  private first = true;
  private recent: number[][] = [];
  private recentCalls: number[] = [];

  /** Take how the sums stand. */
  add(now: Sums, seconds: number): void {
    const before = this.first ? now : this.before;
    this.first = false;
    const delta = now.latency.map((value, bucket) => Math.max(0, value - (before.latency[bucket] ?? 0)));
    push(this.rate, seconds > 0 ? Math.max(0, now.calls - before.calls) / seconds : 0);
    push(this.errors, seconds > 0 ? Math.max(0, now.errors - before.errors) / seconds : 0);
    push(this.median, quantile(delta, 0.5));
    push(this.slowest, quantile(delta, 0.99));
    this.recent = [...this.recent.slice(-9), delta];
    this.recentCalls = [...this.recentCalls.slice(-9), Math.max(0, now.calls - before.calls)];
    this.before = this.now = now;
  }

  get perSecond(): number {
    return mean(this.rate.slice(-2));
  }

  get errorsPerSecond(): number {
    return mean(this.errors.slice(-2));
  }

  /** One of so many of the last ten seconds' calls was timed; the runtime times a sample of busy methods. */
  get timedOneOf(): number {
    return oneOf(sum(this.recent.map(sum)), sum(this.recentCalls));
  }

  /** The latency within which a share of the last ten seconds' calls were. */
  latency(share: number): number | undefined {
    const counts: number[] = [];
    for (const delta of this.recent) delta.forEach((value, bucket) => (counts[bucket] = (counts[bucket] ?? 0) + value));
    return quantile(
      Array.from(counts, (value) => value ?? 0),
      share,
    );
  }
}

/** One of how many things a share is, as a whole number; 1 for all and for none. */
export const oneOf = (some: number, all: number) => Math.max(1, Math.round(some ? all / some : all));

export const sum = (values: number[]) => values.reduce((all, value) => all + (value ?? 0), 0);

export function push<T>(values: T[], value: T, most = POINTS): void {
  values.push(value);
  if (values.length > most) values.splice(0, values.length - most);
}

const mean = (values: number[]) => (values.length ? sum(values) / values.length : 0);
