/**
 * Dispatch jobs, look at them, and act on them.
 *
 * <p>Start with {@link dev.protojobs.client.Client}. Messages of the contract, such as {@code Job}
 * and {@code QueueStats}, are those of {@code dev.protojobs.v1}.
 */
package dev.protojobs.client;
