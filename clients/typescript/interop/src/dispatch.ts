import { readFileSync } from "node:fs";

import { fromJsonString } from "@bufbuild/protobuf";
import { JobIds, type Client, type DispatchResult } from "@protojobs/client";
import { JobSpecSchema, type JobSpec } from "@protojobs/client/proto";

import { readNumber, UsageError, withClient, type Arguments } from "./arguments.js";
import { emit, jobLine } from "./lines.js";

const DEFAULT_SPEC = '{"kind": "echo"}';
const STDIN = 0;

/** Dispatches N jobs of one spec, and with `--wait` waits for them. */
export async function dispatch(given: Arguments): Promise<void> {
  const spec = readSpec(given);
  const ids = new JobIds();
  const specs = Array.from({ length: readNumber("n", given.n) }, () => ({ ...spec, id: spec.id || ids.next() }));
  const send = MODES[given.mode];
  if (send === undefined) throw new UsageError("--mode is single, batch or stream");
  await withClient(
    given,
    async (client) => {
      const results = await send(client, specs);
      for (const result of results) tell(result);
      if (given.wait === undefined) return;
      const timeout = readNumber("wait", given.wait);
      await Promise.all(
        results.map(async (result) => {
          emit(jobLine("finished", await client.waitFinal(result.jobId, { timeout })));
        }),
      );
    },
    { streaming: given.mode === "stream" },
  );
}

type Send = (client: Client, specs: readonly JobSpec[]) => Promise<DispatchResult[]>;

const together: Send = (client, specs) => Promise.all(specs.map((spec) => client.dispatchSpec(spec)));

const MODES: Readonly<Record<string, Send>> = {
  single: async (client, specs) => {
    const results: DispatchResult[] = [];
    for (const spec of specs) results.push(await client.dispatchSpec(spec));
    return results;
  },
  batch: (client, specs) => client.dispatchSpecs(specs),
  stream: together,
};

function readSpec({ spec: file, queue }: Arguments): JobSpec {
  try {
    const text = file === undefined ? DEFAULT_SPEC : readFileSync(file === "-" ? STDIN : file, "utf8");
    const spec = fromJsonString(JobSpecSchema, text);
    return { ...spec, queue };
  } catch (error) {
    throw new UsageError(`--spec: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function tell(result: DispatchResult): void {
  if ("error" in result) throw result.error;
  emit({ event: "dispatched", job_id: result.jobId, outcome: result.outcome, state: result.state });
}
