package dev.protojobs.client;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.RetryPolicy;
import dev.protojobs.v1.Unique;
import dev.protojobs.v1.UniqueConflict;
import dev.protojobs.v1.UniqueScope;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A job to dispatch: a kind, its data and options. Immutable; what is not set takes the queue's
 * value, then the server's default.
 */
public final class JobRequest {
  private static final List<String> TRACE = List.of("traceparent", "tracestate", "baggage");

  private final Builder given;

  private JobRequest(Builder given) {
    this.given = given;
  }

  /**
   * Starts a job of a kind.
   *
   * @param kind which handler runs it, {@code [A-Za-z0-9._-]{1,128}}
   */
  public static Builder builder(String kind) {
    return new Builder(JobSpec.newBuilder().setKind(kind));
  }

  /**
   * Starts a job from a specification of the contract; its payload is taken as it is.
   *
   * @param spec any fields; an id, if there is one, is kept
   */
  public static Builder builder(JobSpec spec) {
    Builder builder = new Builder(spec.toBuilder());
    builder.raw = Payload.of(spec.getPayload());
    return spec.getContentType().isEmpty()
        ? builder
        : builder.payload(spec.getPayload(), spec.getContentType());
  }

  /**
   * Returns a job of a kind with data and no options.
   *
   * @param kind which handler runs it
   * @param data becomes JSON; null for none
   */
  public static JobRequest of(String kind, Object data) {
    return builder(kind).data(data).build();
  }

  /** {@return the same job to change} */
  public Builder toBuilder() {
    return new Builder(given);
  }

  /** {@return which handler runs it} */
  public String kind() {
    return given.spec.getKind();
  }

  /** {@return its queue; empty means default} */
  public String queue() {
    return given.spec.getQueue();
  }

  /** {@return the id that was chosen for it; empty if none was} */
  public String id() {
    return given.spec.getId();
  }

  /**
   * Builds the specification that is sent.
   *
   * @param id id of the job; empty where the server chooses it
   * @param trace headers of the trace, which give way to those of the request
   * @param codec what payloads go through
   * @param mapper what makes JSON of data
   * @throws IllegalArgumentException for data that cannot be sent
   */
  public JobSpec toSpec(
      String id, Map<String, String> trace, PayloadCodec codec, DataMapper mapper) {
    JobSpec.Builder spec = given.spec.clone().setId(id);
    Payload plain =
        given.raw == null ? new Payload(mapper.write(given.data), Payload.JSON) : given.raw;
    String queue = spec.getQueue().isEmpty() ? "default" : spec.getQueue();
    PayloadContext context =
        new PayloadContext(spec.getKind(), queue, PayloadContext.Use.PAYLOAD, id);
    Payload sent = codec.encode(plain, context);
    spec.setPayload(sent.data()).setContentType(sent.contentType());
    if (!spec.containsHeaders("traceparent")) {
      Map<String, String> own = new HashMap<>(trace);
      own.putAll(spec.getHeadersMap());
      spec.putAllHeaders(own);
    }
    // Jobs that follow belong to the trace of the job that they follow.
    Map<String, String> passedOn = new HashMap<>(spec.getHeadersMap());
    passedOn.keySet().retainAll(TRACE);
    given.onComplete.forEach(next -> spec.addOnComplete(next.toSpec("", passedOn, codec, mapper)));
    given.onFailed.forEach(next -> spec.addOnFailed(next.toSpec("", passedOn, codec, mapper)));
    return spec.build();
  }

  @Override
  public String toString() {
    return "JobRequest[" + kind() + "]";
  }

  /** Collects what a job is. */
  public static final class Builder {
    private final JobSpec.Builder spec;
    private final List<JobRequest> onComplete = new ArrayList<>();
    private final List<JobRequest> onFailed = new ArrayList<>();
    private Object data;
    private Payload raw;

    private Builder(JobSpec.Builder spec) {
      this.spec = spec;
    }

    private Builder(Builder other) {
      this(other.spec.clone());
      onComplete.addAll(other.onComplete);
      onFailed.addAll(other.onFailed);
      data = other.data;
      raw = other.raw;
    }

    /**
     * Sends this data as JSON.
     *
     * @param data what the mapper knows, or null
     */
    public Builder data(Object data) {
      this.data = data;
      this.raw = null;
      return this;
    }

    /**
     * Sends bytes as they are.
     *
     * @param payload at most 1 MiB, unless the server is set up otherwise
     * @param contentType media type, at most 128 bytes
     */
    public Builder payload(ByteString payload, String contentType) {
      this.raw = new Payload(payload, contentType);
      return this;
    }

    /**
     * Sends it to this queue. Default {@code default}.
     *
     * @param queue {@code [A-Za-z0-9._-]{1,128}}
     */
    public Builder queue(String queue) {
      spec.setQueue(queue);
      return this;
    }

    /**
     * Puts it before jobs of a lower priority. Default 5.
     *
     * @param priority 1 to 9, higher first
     */
    public Builder priority(int priority) {
      spec.setPriority(priority);
      return this;
    }

    /**
     * Chooses its id; dispatching the same id again never runs it twice.
     *
     * @param id a UUIDv7
     */
    public Builder id(String id) {
      spec.setId(id);
      return this;
    }

    /**
     * Starts it so long after it was stored. Replaces {@link #runAt}.
     *
     * @param delay 0 s to 10 years
     */
    public Builder delay(Duration delay) {
      spec.setDelay(Times.write(delay));
      return this;
    }

    /**
     * Starts it at a time; one in the past means at once. Replaces {@link #delay}.
     *
     * @param time up to 10 years ahead; kept to the microsecond
     */
    public Builder runAt(Instant time) {
      spec.setRunTime(Times.write(time));
      return this;
    }

    /**
     * Ends it as EXPIRED if it still waits then.
     *
     * @param time at most 20 years ahead
     */
    public Builder expireAt(Instant time) {
      spec.setExpireTime(Times.write(time));
      return this;
    }

    /**
     * Bounds the run of one attempt. Default 300 s.
     *
     * @param timeout 1 s to 30 days
     */
    public Builder runTimeout(Duration timeout) {
      spec.setRunTimeout(Times.write(timeout));
      return this;
    }

    /**
     * Retries it after its first run. Default 3 times.
     *
     * @param count 0 to 1000
     */
    public Builder retries(int count) {
      spec.getRetryBuilder().setMaxRetries(count);
      return this;
    }

    /**
     * Waits before the first retry; later waits grow. Default 60 s.
     *
     * @param backoff 0 s to 365 days
     */
    public Builder retryAfter(Duration backoff) {
      spec.getRetryBuilder().setInitialBackoff(Times.write(backoff));
      return this;
    }

    /**
     * Sets the whole retry policy.
     *
     * @param policy unset fields take the queue's value
     */
    public Builder retry(RetryPolicy policy) {
      spec.setRetry(policy);
      return this;
    }

    /**
     * Keeps its result so long, at most as long as the queue keeps the job.
     *
     * @param retention 1 s to 10 years
     */
    public Builder resultRetention(Duration retention) {
      spec.setResultRetention(Times.write(retention));
      return this;
    }

    /**
     * Adds a header, to tell its handler. At most 64, and 8 KiB in all.
     *
     * @param name any name
     * @param value any text
     */
    public Builder header(String name, String value) {
      spec.putHeaders(name, value);
      return this;
    }

    /**
     * Adds a label, to find it by. At most 16.
     *
     * @param key {@code [A-Za-z0-9._-]{1,63}}
     * @param value at most 256 bytes
     */
    public Builder label(String key, String value) {
      spec.putLabels(key, value);
      return this;
    }

    /**
     * Lets at most one job of this key be in its queue until that is final; another one is refused
     * with DUPLICATE_JOB.
     *
     * @param key 1 to 256 bytes
     */
    public Builder unique(String key) {
      return unique(
          key, UniqueScope.UNIQUE_SCOPE_UNTIL_DONE, UniqueConflict.UNIQUE_CONFLICT_REJECT);
    }

    /**
     * Lets at most one job of this key be in its queue.
     *
     * @param key 1 to 256 bytes
     * @param scope UNTIL_START or UNTIL_DONE
     * @param onConflict what becomes of a job whose key another one has
     */
    public Builder unique(String key, UniqueScope scope, UniqueConflict onConflict) {
      spec.setUnique(Unique.newBuilder().setKey(key).setScope(scope).setOnConflict(onConflict));
      return this;
    }

    /**
     * Lets at most one job of this key be dispatched within a while, whatever becomes of it.
     *
     * @param key 1 to 256 bytes
     * @param window 1 s to 365 days
     * @param onConflict what becomes of a job whose key another one has
     */
    public Builder uniqueWithin(String key, Duration window, UniqueConflict onConflict) {
      unique(key, UniqueScope.UNIQUE_SCOPE_WINDOW, onConflict);
      spec.getUniqueBuilder().setWindow(Times.write(window));
      return this;
    }

    /**
     * Lets it take from this key's share of a fair queue.
     *
     * @param key at most 128 bytes
     */
    public Builder fairnessKey(String key) {
      spec.setFairnessKey(key);
      return this;
    }

    /**
     * Runs no more jobs of this key at once than the queue's per_key_limit: one, unless it says
     * otherwise.
     *
     * @param key at most 128 bytes
     */
    public Builder concurrencyKey(String key) {
      spec.setConcurrencyKey(key);
      return this;
    }

    /**
     * Stores these jobs as well, in the transaction that completes it.
     *
     * @param jobs at most 16, without ids
     */
    public Builder onComplete(JobRequest... jobs) {
      onComplete.addAll(followUps(jobs));
      return this;
    }

    /**
     * Stores these jobs as well, in the transaction in which it fails for good.
     *
     * @param jobs at most 16, without ids
     */
    public Builder onFailed(JobRequest... jobs) {
      onFailed.addAll(followUps(jobs));
      return this;
    }

    private static List<JobRequest> followUps(JobRequest... jobs) {
      for (JobRequest job : jobs) {
        if (!job.id().isEmpty()) {
          throw new IllegalArgumentException(
              "a job that follows another takes no id: the server makes it");
        }
      }
      return List.of(jobs);
    }

    /** {@return the job} */
    public JobRequest build() {
      return new JobRequest(new Builder(this));
    }
  }
}
