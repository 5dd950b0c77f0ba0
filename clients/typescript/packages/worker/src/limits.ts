import { secondsOf, type Seconds } from "@protojobs/client/connecting";
import type { Welcome } from "@protojobs/client/proto";

const FRAME_BYTES = 1024 * 1024;

/** Bounds and times of a session: what the server said in Welcome, with defaults for what it left out. */
export interface Limits {
  /** How long leases outlive the last heartbeat. */
  readonly ttl: Seconds;
  /** Each side sends a frame at least this often. */
  readonly heartbeat: Seconds;
  /** Between two looks at what only time brings about. */
  readonly tick: Seconds;
  readonly maxResultBytes: number;
  readonly maxCheckpointBytes: number;
  readonly maxFrameBytes: number;
  readonly maxInFlight: number;
}

/** Reads Welcome; before it, undefined gives the defaults. */
export function limitsOf(welcome: Welcome | undefined): Limits {
  const told = welcome?.limits;
  const heartbeat = (welcome?.heartbeatInterval && secondsOf(welcome.heartbeatInterval)) || 7.5;
  return {
    ttl: (welcome?.sessionTtl && secondsOf(welcome.sessionTtl)) || 30,
    heartbeat,
    tick: Math.min(0.25, heartbeat / 4),
    maxResultBytes: told?.maxResultBytes || 256 * 1024,
    maxCheckpointBytes: told?.maxCheckpointBytes || 64 * 1024,
    maxFrameBytes: Math.min(FRAME_BYTES, (told?.maxReceiveBytes || 2 * FRAME_BYTES) / 2),
    maxInFlight: told?.maxInFlight || 100_000,
  };
}
