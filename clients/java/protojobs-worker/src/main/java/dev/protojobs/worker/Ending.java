package dev.protojobs.worker;

/** How the run of a handler has ended, as this worker sees it. */
public enum Ending {
  /** It completed. */
  COMPLETE,
  /** It failed, retryable or not. */
  FAIL,
  /** It asked to run again later. */
  SNOOZE,
  /** It asked for the end of its job. */
  CANCEL,
  /** It discarded its job. */
  DISCARD,
  /** It stopped because its job was cancelled. */
  CANCELLED,
  /** Its job was given back to the queue. */
  RELEASED,
  /** Its lease had gone: what it said is dropped. */
  LOST,
  /** It did not stop in time, and runs still; its job has got its outcome without it. */
  ABANDONED
}
