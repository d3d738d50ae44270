import { MAX_TIMER } from "./limits.js";

/** Waits until any of the promises settles, for so many milliseconds at most. */
export async function withTimeout(milliseconds: number, ...promises: readonly Promise<unknown>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.min(milliseconds, MAX_TIMER));
  });
  try {
    await Promise.race([late, ...promises]);
  } finally {
    clearTimeout(timer);
  }
}
