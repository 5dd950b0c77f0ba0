import { defineConfig } from "tsdown";

/** One file with everything in it, so that the program starts fast. */
export default defineConfig({
  entry: { interop: "src/main.ts" },
  outDir: "../.build",
  format: "esm",
  platform: "node",
  target: "node20",
  dts: false,
  clean: false,
  noExternal: [/.*/],
  external: [/^@opentelemetry\//],
  inlineOnly: false,
  tsconfig: "../tsconfig.json",
});
