import { readFileSync } from "node:fs";
import { join } from "node:path";

import { createRegistry, equals, fromBinary, fromJsonString, toBinary } from "@bufbuild/protobuf";
import {
  file_protojobs_v1_admin_service,
  file_protojobs_v1_job,
  file_protojobs_v1_job_service,
  file_protojobs_v1_queue_service,
  file_protojobs_v1_schedule_service,
  file_protojobs_v1_server_service,
  file_protojobs_v1_worker_service,
} from "@protojobs/client/proto";

import { required, type Arguments } from "./arguments.js";
import { emit } from "./lines.js";

const REGISTRY = createRegistry(
  file_protojobs_v1_admin_service,
  file_protojobs_v1_job,
  file_protojobs_v1_job_service,
  file_protojobs_v1_queue_service,
  file_protojobs_v1_schedule_service,
  file_protojobs_v1_server_service,
  file_protojobs_v1_worker_service,
);

interface Index {
  readonly vectors: readonly { readonly name: string; readonly type: string }[];
}

/** Decodes every message of a directory in both forms, and encodes it again. */
export function vectors(given: Arguments): Promise<void> {
  const directory = required("dir", given.dir);
  const index = JSON.parse(readFileSync(join(directory, "index.json"), "utf8")) as Index;
  let good = true;
  for (const { name, type } of index.vectors) {
    const found = REGISTRY.getMessage(type);
    const checked = found === undefined ? { binary: false, json: false } : check(directory, name, found);
    good &&= checked.binary && checked.json;
    emit({ event: "vector", name, ...checked });
  }
  if (!good) process.exitCode = 1;
  return Promise.resolve();
}

type Description = NonNullable<ReturnType<typeof REGISTRY.getMessage>>;

function check(directory: string, name: string, type: Description): { binary: boolean; json: boolean } {
  const bytes = readFileSync(join(directory, `${name}.bin`));
  const message = fromBinary(type, bytes);
  const told = fromJsonString(type, readFileSync(join(directory, `${name}.json`), "utf8"), { registry: REGISTRY });
  return {
    binary: equals(type, message, fromBinary(type, toBinary(type, message))),
    json: equals(type, message, told),
  };
}
