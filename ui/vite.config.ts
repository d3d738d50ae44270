import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// The built files are committed (py/plugmux/inspector/static): a clone with Python alone can build the wheel. So their
// names and their content depend on nothing but the sources and the locked packages.
export default defineConfig({
  base: "./",
  resolve: {
    alias: [{ find: /^#gen\/(.*)$/, replacement: here("../gen/ts/$1") }],
    // The generated stubs lie outside of this folder, and are to use the library of this one.
    dedupe: ["@bufbuild/protobuf"],
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: here("../py/plugmux/inspector/static"),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    cssCodeSplit: false,
    rollupOptions: {
      output: { entryFileNames: "page.js", assetFileNames: "[name][extname]", chunkFileNames: "[name].js" },
    },
  },
});
