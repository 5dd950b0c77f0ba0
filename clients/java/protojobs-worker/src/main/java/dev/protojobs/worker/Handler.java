package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.client.DataMapper;
import dev.protojobs.client.Payload;
import dev.protojobs.client.PayloadCodec;
import dev.protojobs.client.PayloadContext;
import dev.protojobs.client.PayloadContext.Use;
import dev.protojobs.client.UndecodableException;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.LeasedJob;
import java.lang.reflect.Type;

/** A registered handler: how to decode for it, call it, and encode what it says. */
record Handler(
    String kind,
    Type type,
    JobHandler<Object> target,
    HandlerOptions options,
    PayloadCodec codec,
    DataMapper mapper) {
  /**
   * The payload is not what the handler expects; no retry can help. Its message holds none of it.
   */
  static final class InvalidPayloadException extends NonRetryableException {
    InvalidPayloadException(String message) {
      super(message);
    }
  }

  /** Calls the handler with the decoded payload. */
  Object call(JobContext context, LeasedJob job) throws Exception {
    return target.handle(context, decode(job));
  }

  private Object decode(LeasedJob job) {
    if (type == Void.class) {
      return null;
    }
    Payload payload;
    try {
      payload = payload(job);
    } catch (UndecodableException error) {
      throw new InvalidPayloadException(error.getMessage());
    }
    if (type == Payload.class) {
      return payload;
    }
    if (type == ByteString.class) {
      return payload.data();
    }
    if (type == byte[].class) {
      return payload.data().toByteArray();
    }
    if (type == String.class && !payload.isJson()) {
      return payload.data().toStringUtf8();
    }
    if (!payload.isJson()) {
      throw new InvalidPayloadException("the payload is " + payload.contentType() + ", not JSON");
    }
    try {
      return payload.data().isEmpty() ? null : mapper.read(payload.data(), type);
    } catch (IllegalArgumentException error) {
      throw new InvalidPayloadException(error.getMessage());
    }
  }

  /** Returns the payload as its producer gave it. */
  Payload payload(LeasedJob job) {
    JobSpec spec = job.getSpec();
    String contentType = spec.getContentType().isEmpty() ? Payload.JSON : spec.getContentType();
    return codec.open(new Payload(spec.getPayload(), contentType), context(job, Use.PAYLOAD));
  }

  /** Returns the checkpoint as an earlier attempt gave it; empty if there is none. */
  ByteString checkpoint(LeasedJob job) {
    ByteString stored = job.getCheckpoint();
    return stored.isEmpty()
        ? stored
        : codec.open(Payload.of(stored), context(job, Use.CHECKPOINT)).data();
  }

  /** Returns what the server stores. */
  ByteString seal(LeasedJob job, ByteString plain, Use use) {
    return codec.encode(Payload.of(plain), context(job, use)).data();
  }

  private static PayloadContext context(LeasedJob job, Use use) {
    JobSpec spec = job.getSpec();
    return new PayloadContext(spec.getKind(), spec.getQueue(), use, job.getJobId());
  }
}
