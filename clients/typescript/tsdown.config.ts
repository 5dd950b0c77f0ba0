import { defineConfig, type UserConfig } from "tsdown";

/** What both packages are made of: ES modules and CommonJS, each with its types. */
const library = (name: string, entry: string[]): UserConfig => ({
  cwd: `packages/${name}`,
  entry,
  format: ["esm", "cjs"],
  platform: "node",
  target: "node20",
  dts: true,
  sourcemap: true,
  clean: true,
  // Each package is the other's dependency, not its part.
  external: [/^@protojobs\//, /^@opentelemetry\//],
  tsconfig: "../../tsconfig.json",
});

export default defineConfig([
  library("client", ["src/index.ts", "src/connecting.ts", "src/proto.ts"]),
  library("worker", ["src/index.ts"]),
]);
