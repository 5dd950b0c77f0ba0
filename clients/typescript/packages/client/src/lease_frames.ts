import type { GenService } from "@bufbuild/protobuf/codegenv2";
import { EmptySchema, type Empty } from "@bufbuild/protobuf/wkt";

import { WorkerService, type LeaseRequestSchema } from "./gen/protojobs/v1/worker_service_pb.js";

/** An answer of the Lease stream that nothing has read yet: its fields are unknown to a message that has none. */
export type RawFrame = Empty;

type LeaseFramesService = GenService<{
  lease: { methodKind: "bidi_streaming"; input: typeof LeaseRequestSchema; output: typeof EmptySchema };
}>;

const lease = { ...WorkerService.method.lease, output: EmptySchema };

/**
 * The Lease stream whose answers stay as they came. A worker reads a delivery by itself: to make a message of every job
 * and of its specification costs more than all else that is done for a short job.
 */
export const LeaseFrames: LeaseFramesService = { ...WorkerService, methods: [lease], method: { lease } };
