package dev.protojobs.client;

import dev.protojobs.v1.DispatchOutcome;
import dev.protojobs.v1.JobState;

/**
 * What a dispatch did.
 *
 * @param jobId id of the job; with RETURN_EXISTING that of the job that has the unique key
 * @param outcome CREATED, EXISTING or REPLACED
 * @param state state of the job when the answer was made; UNSPECIFIED where batches and streams do
 *     not tell it
 */
public record Dispatched(String jobId, DispatchOutcome outcome, JobState state) {}
