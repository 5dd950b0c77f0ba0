import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(`packages/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@protojobs\/client$/, replacement: source("client/src/index.ts") },
      { find: /^@protojobs\/client\/(.*)$/, replacement: source("client/src/$1.ts") },
      { find: /^@protojobs\/worker$/, replacement: source("worker/src/index.ts") },
    ],
  },
  test: {
    include: ["packages/*/test/**/*.test.ts"],
    testTimeout: 30_000,
    // Each test file starts servers of its own; two at a time are enough for any machine.
    maxWorkers: 2,
  },
});
