// Loaded before a program of node's (node --expose-gc --require): SIGUSR2 has it say what a collection of garbage leaves.
process.on("SIGUSR2", () => {
  globalThis.gc();
  globalThis.gc(); // The first one's buffers count until they are swept, which the second waits for.
  const { heapUsed, external } = process.memoryUsage();
  console.error(`${heapUsed + external} bytes are alive`);
});
