package dev.protojobs.interop;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import dev.protojobs.client.FieldViolation;
import dev.protojobs.client.ProtoJobsException;
import dev.protojobs.v1.Job;
import dev.protojobs.v1.JobError;
import dev.protojobs.v1.JobState;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;

/** Writes one JSON object a line to standard output. */
final class Lines {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final PrintStream OUT =
      new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);

  private Lines() {}

  /** Starts a line. */
  static Map<String, Object> line(String event) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("event", event);
    return line;
  }

  static synchronized void write(Map<String, Object> line) {
    try {
      OUT.print(JSON.writeValueAsString(line) + "\n");
    } catch (JsonProcessingException error) {
      throw new IllegalArgumentException(error);
    }
    OUT.flush();
  }

  static String base64(ByteString bytes) {
    return Base64.getEncoder().encodeToString(bytes.toByteArray());
  }

  static String state(JobState state) {
    return state.name().replace("JOB_STATE_", "");
  }

  static void error(ProtoJobsException error, String jobId) {
    Map<String, Object> line = line("error");
    if (jobId != null) {
      line.put("job_id", jobId);
    }
    line.put("code", error.code().name());
    line.put("reason", error.reason());
    line.put("fields", error.violations().stream().map(FieldViolation::field).toList());
    line.put("message", error.getMessage());
    write(line);
  }

  static void job(String event, Job job, boolean withPayload) {
    Map<String, Object> line = line(event);
    line.put("job_id", job.getId());
    line.put("state", state(job.getState()));
    line.put("attempt", job.getAttempt());
    line.put("failures", job.getFailures());
    line.put("crashes", job.getCrashes());
    if (withPayload) {
      line.put("payload", base64(job.getSpec().getPayload()));
    }
    line.put("result", base64(job.getResult()));
    if (job.hasLastError()) {
      JobError error = job.getLastError();
      line.put("error", Map.of("type", error.getType(), "message", error.getMessage()));
    }
    write(line);
  }
}
