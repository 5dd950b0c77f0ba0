import { fromBinary } from "@bufbuild/protobuf";
import {
  SettledGroupSchema,
  SettledItemSchema,
  SettledSchema,
  type JobState,
  type SettleCode,
  type SettledItem,
} from "@protojobs/client/proto";

import { FieldReader } from "./field_reader.js";

const { field: SETTLED } = SettledSchema;
const { field: GROUP } = SettledGroupSchema;
const FIELD = {
  items: SETTLED.items.number,
  groups: SETTLED.groups.number,
  updates: SETTLED.updates.number,
} as const;
const GROUP_FIELD = {
  attempt: GROUP.attempt.number,
  code: GROUP.code.number,
  nextState: GROUP.nextState.number,
  jobIds: GROUP.jobIds.number,
} as const;

/** Jobs of which the server says the same. */
export interface SettledGroup {
  attempt: number;
  code: SettleCode;
  nextState: JobState;
  readonly jobIds: string[];
}

/** What became of outcomes and updates. */
export interface Settled {
  readonly items: SettledItem[];
  readonly groups: SettledGroup[];
  readonly updates: SettledItem[];
}

/** Reads a `Settled`; most jobs come in its groups. Throws RangeError where it is cut off. */
export function readSettled(bytes: Uint8Array): Settled {
  return new SettledReader(bytes).settled();
}

class SettledReader extends FieldReader {
  settled(): Settled {
    const settled: Settled = { items: [], groups: [], updates: [] };
    this.fields(this.length, (field) => {
      if (field === FIELD.groups) settled.groups.push(this.#group(this.end()));
      else if (field === FIELD.items) settled.items.push(this.#item());
      else if (field === FIELD.updates) settled.updates.push(this.#item());
      else return false;
      return true;
    });
    return settled;
  }

  #group(end: number): SettledGroup {
    const group: SettledGroup = { attempt: 0, code: 0, nextState: 0, jobIds: [] };
    this.fields(end, (field) => {
      if (field === GROUP_FIELD.jobIds) group.jobIds.push(this.text());
      else if (field === GROUP_FIELD.attempt) group.attempt = this.reader.uint32();
      else if (field === GROUP_FIELD.code) group.code = this.reader.int32();
      else if (field === GROUP_FIELD.nextState) group.nextState = this.reader.int32();
      else return false;
      return true;
    });
    return group;
  }

  #item(): SettledItem {
    return fromBinary(SettledItemSchema, this.reader.bytes());
  }
}
