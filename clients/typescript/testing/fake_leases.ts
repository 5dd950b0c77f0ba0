import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectError, type ConnectRouter } from "@connectrpc/connect";

import {
  JobState,
  LeasedJobSchema,
  type LeaseLimitsSchema,
  LeaseResponseSchema,
  SettleCode,
  WorkerService,
  type Hello,
  type LeasedJob,
  type LeaseRequest,
  type LeaseResponse,
  type SettleItem,
} from "../packages/client/src/proto.js";
import { Channel } from "./fake_server.js";

type Frame = NonNullable<MessageInitShape<typeof LeaseResponseSchema>["frame"]>;
type FrameCase = LeaseRequest["frame"]["case"];

/** What a test says of leases that a worker names in Hello. */
export interface Kept {
  readonly kept?: LeaseRefs;
  readonly lost?: LeaseRefs;
  readonly limits?: MessageInitShape<typeof LeaseLimitsSchema>;
}

type LeaseRefs = { jobId: string; attempt: number }[];

/** An outcome as a worker settled it: of an item, or of the short form (`complete`). */
export interface Settling {
  readonly jobId: string;
  readonly attempt: number;
  readonly outcome: SettleItem["outcome"];
}

/** The server's side of one Lease stream: says what a test says, and keeps what the worker says. */
export class FakeLease {
  readonly frames: LeaseRequest[] = [];
  readonly #in = new Channel<LeaseRequest | undefined>();
  readonly #out = new Channel<LeaseResponse | ConnectError | undefined>();
  #seq = 0n;
  #received = 0n;

  /** Sends a frame; returns its number. */
  send(frame: Frame): bigint {
    this.#seq += 1n;
    this.#out.put(create(LeaseResponseSchema, { seq: this.#seq, receivedSeq: this.#received, frame }));
    return this.#seq;
  }

  /** Reads Hello, answers it, and returns it. */
  async welcome(init: Kept = {}, ttl = 30, heartbeatMs = 5000): Promise<Hello> {
    const frame = await this.expect("hello");
    this.send({
      case: "welcome",
      value: {
        serverId: "fake",
        sessionTtl: durationFromMs(ttl * 1000),
        heartbeatInterval: durationFromMs(heartbeatMs),
        ...init,
      },
    });
    if (frame.frame.case !== "hello") throw new TypeError("not Hello");
    return frame.frame.value;
  }

  /** Delivers jobs; returns the number of the frame. */
  deliver(...items: LeasedJob[]): bigint {
    return this.send({ case: "deliver", value: { items } });
  }

  /** Ends the stream, with an error or well. */
  end(error?: ConnectError): void {
    this.#out.put(error);
  }

  /** Reads until a frame of a kind comes for which something holds. Rejects where the worker ends the stream. */
  async expect(kind: FrameCase, holds: (frame: LeaseRequest) => boolean = () => true): Promise<LeaseRequest> {
    for (;;) {
      const frame = await this.#in.take();
      if (frame === undefined)
        throw new Error(`the worker left; it said ${this.frames.map((each) => each.frame.case).join()}`);
      this.frames.push(frame);
      if (frame.frame.case === kind && holds(frame)) return frame;
    }
  }

  /** Reads until the outcome of a job comes. */
  async settling(jobId: string): Promise<Settling> {
    for (;;) {
      const found = settlings(await this.expect("settle")).find((each) => each.jobId === jobId);
      if (found !== undefined) return found;
    }
  }

  /** Answers an outcome. */
  answer({ jobId, attempt }: Settling, code = SettleCode.OK, nextState = JobState.COMPLETED): void {
    this.send({ case: "settled", value: { items: [{ jobId, attempt, code, nextState }] } });
  }

  /** Reads until the worker has ended the stream. */
  async left(): Promise<void> {
    for (let frame = await this.#in.take(); frame !== undefined; frame = await this.#in.take()) this.frames.push(frame);
  }

  /** Serves the stream. */
  async *serve(requests: AsyncIterable<LeaseRequest>): AsyncGenerator<LeaseResponse> {
    void this.#listen(requests);
    for (;;) {
      const frame = await this.#out.take();
      if (frame === undefined) return;
      if (frame instanceof ConnectError) throw frame;
      yield frame;
    }
  }

  async #listen(requests: AsyncIterable<LeaseRequest>): Promise<void> {
    try {
      for await (const frame of requests) {
        this.#received = frame.seq;
        this.#in.put(frame);
      }
    } catch {
      // However the worker leaves.
    }
    this.#in.put(undefined);
  }
}

/** The streams that workers open, in order. */
export class FakeLeases {
  readonly #streams = new Channel<FakeLease>();

  /** The next stream that a worker opens. */
  stream(): Promise<FakeLease> {
    return this.#streams.take();
  }

  /** The routes of a server. */
  readonly routes = (router: ConnectRouter): void => {
    router.service(WorkerService, {
      lease: (requests) => {
        const stream = new FakeLease();
        this.#streams.put(stream);
        return stream.serve(requests);
      },
    });
  };
}

/** Returns the outcomes of a frame, those of the short form among them. */
export function settlings({ frame }: LeaseRequest): Settling[] {
  if (frame.case !== "settle") return [];
  const short = frame.value.completed.flatMap(({ attempt, jobIds }) =>
    jobIds.map((jobId): Settling => ({ jobId, attempt, outcome: { case: "complete", value: completion() } })),
  );
  return [...frame.value.items, ...short];
}

function completion(): Extract<SettleItem["outcome"], { case: "complete" }>["value"] {
  return { $typeName: "protojobs.v1.Complete", result: new Uint8Array(), dispatch: [] };
}

let jobs = 0;

/** Returns a job as a server delivers it. */
export function leased(
  kind: string,
  data?: unknown,
  init: { readonly attempt?: number; readonly checkpoint?: Uint8Array } = {},
): LeasedJob {
  jobs += 1;
  const jobId = `01990000-0000-7000-8000-${String(jobs).padStart(12, "0")}`;
  const payload = new TextEncoder().encode(JSON.stringify(data ?? null));
  return create(LeasedJobSchema, {
    jobId,
    attempt: 1,
    maxRetries: 3,
    runTimeout: { seconds: 300n },
    spec: { id: jobId, kind, queue: "main", payload },
    ...init,
  });
}
