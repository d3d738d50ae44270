/** Waits for something to be over, but for so many milliseconds at most. */
export async function within(milliseconds: number, ...over: readonly Promise<unknown>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  try {
    await Promise.race([late, ...over]);
  } finally {
    clearTimeout(timer);
  }
}
