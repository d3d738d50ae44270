// Loaded before a program of node's (node --expose-gc --require): SIGUSR2 has it say what a collection of garbage leaves.
process.on("SIGUSR2", () => {
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  console.error(`${heapUsed + external} bytes are alive`);
});
