package dev.protojobs.client;

import com.google.protobuf.CodedOutputStream;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.JobState;
import java.util.ArrayList;
import java.util.List;

/** Splits many jobs into messages that a server takes. */
final class Batches {
  static final int MAX_ITEMS = 1000;

  private static final int REQUEST_OVERHEAD = 1024;

  private Batches() {}

  /** Returns how many bytes of items fit into one message. */
  static int room(int maxMessageBytes) {
    return maxMessageBytes - REQUEST_OVERHEAD;
  }

  /** Returns how many bytes a job takes in a message. */
  static int sizeOf(JobSpec spec) {
    return CodedOutputStream.computeMessageSize(2, spec);
  }

  static List<List<JobSpec>> split(List<JobSpec> specs, int maxMessageBytes) {
    List<List<JobSpec>> batches = new ArrayList<>();
    List<JobSpec> batch = new ArrayList<>();
    int left = room(maxMessageBytes);
    for (JobSpec spec : specs) {
      int size = sizeOf(spec);
      if (!batch.isEmpty() && (batch.size() == MAX_ITEMS || size > left)) {
        batches.add(batch);
        batch = new ArrayList<>();
        left = room(maxMessageBytes);
      }
      batch.add(spec);
      left -= size;
    }
    if (!batch.isEmpty()) {
      batches.add(batch);
    }
    return batches;
  }

  /** Reads the answer to one job. */
  static DispatchResult read(dev.protojobs.v1.DispatchResult result, String sentId) {
    String jobId = result.getJobId().isEmpty() ? sentId : result.getJobId();
    return result.hasError()
        ? new DispatchResult.Refused(jobId, Statuses.fromStatus(result.getError()))
        : new DispatchResult.Stored(
            new Dispatched(jobId, result.getOutcome(), JobState.JOB_STATE_UNSPECIFIED));
  }
}
