/**
 * Take jobs and run their handlers.
 *
 * <p>Start with {@link dev.protojobs.worker.Worker}.
 */
package dev.protojobs.worker;
