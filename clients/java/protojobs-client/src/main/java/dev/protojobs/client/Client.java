package dev.protojobs.client;

import dev.protojobs.client.DispatchResult.Refused;
import dev.protojobs.v1.DispatchBatchRequest;
import dev.protojobs.v1.DispatchBatchResponse;
import dev.protojobs.v1.DispatchRequest;
import dev.protojobs.v1.DispatchResponse;
import dev.protojobs.v1.GetServerInfoRequest;
import dev.protojobs.v1.GetServerInfoResponse;
import dev.protojobs.v1.JobServiceGrpc;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.ServerServiceGrpc;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Function;

/**
 * Dispatches jobs, and looks at them. Safe for use by many threads: make one and share it.
 *
 * <p>Every id is chosen here, so each call may be repeated without storing a job twice: calls are
 * repeated while the server cannot be reached, until {@link ConnectionOptions#callTimeout} is over.
 * All methods throw {@link ProtoJobsException}.
 */
public final class Client implements AutoCloseable {
  private final Connection connection;
  private final PayloadCodec codec;
  private final DataMapper mapper;
  private final JobIds ids = new JobIds();
  private final Jobs jobs;
  private final Queues queues;
  private final Schedules schedules;
  private ScheduledExecutorService loop;
  private DispatchPipe pipe;
  private boolean closed;

  private Client(Builder builder) {
    connection =
        builder.connection == null
            ? Connection.open(
                builder.options == null ? ConnectionOptions.fromEnvironment() : builder.options)
            : builder.connection;
    codec = builder.codec;
    mapper = builder.mapper;
    jobs = new Jobs(connection, codec, mapper);
    queues = new Queues(connection);
    schedules = new Schedules(connection, this::spec, this::learning, ids);
  }

  /** {@return a client of the server that PROTOJOBS_* of the environment name} */
  public static Client connect() {
    return builder().build();
  }

  /**
   * Returns a client of a server, with credentials from the environment.
   *
   * @param address {@code host:port}
   */
  public static Client connect(String address) {
    return builder().options(ConnectionOptions.at(address)).build();
  }

  /** {@return settings of a client, with the defaults} */
  public static Builder builder() {
    return new Builder();
  }

  /** {@return what is stored: read, wait, cancel, retry, watch} */
  public Jobs jobs() {
    return jobs;
  }

  /** {@return settings and numbers of queues} */
  public Queues queues() {
    return queues;
  }

  /** {@return jobs at a time, and again and again} */
  public Schedules schedules() {
    return schedules;
  }

  /** {@return the connection, for calls that this client has no method for} */
  public Connection connection() {
    return connection;
  }

  /** {@return version, driver, capabilities and limits of the server} */
  public GetServerInfoResponse serverInfo() {
    return connection.call(
        ServerServiceGrpc.getGetServerInfoMethod(), GetServerInfoRequest.getDefaultInstance());
  }

  /**
   * Stores one job; returns after the server has committed.
   *
   * @param kind which handler runs it
   * @param data becomes JSON; null for none
   */
  public Dispatched dispatch(String kind, Object data) {
    return dispatch(JobRequest.of(kind, data));
  }

  /**
   * Stores one job; returns after the server has committed.
   *
   * @param request what to store
   */
  public Dispatched dispatch(JobRequest request) {
    return learning(
        request,
        id -> {
          DispatchRequest message = DispatchRequest.newBuilder().setSpec(spec(request, id)).build();
          DispatchResponse answer =
              connection.call(
                  JobServiceGrpc.getDispatchMethod(),
                  message,
                  connection.options().dispatchDeadline());
          return new Dispatched(answer.getJobId(), answer.getOutcome(), answer.getState());
        });
  }

  /**
   * Stores one job together with others that are dispatched at the same time, by one stream. The
   * fast road for many single jobs: do not wait for each before the next.
   *
   * @param request what to store
   * @return completes after the server has committed, exceptionally with ProtoJobsException
   */
  public CompletableFuture<Dispatched> dispatchAsync(JobRequest request) {
    String id = request.id().isEmpty() ? ids.next() : request.id();
    return pipe()
        .submit(fitting(spec(request, id)))
        .thenCompose(
            result -> {
              boolean again =
                  result instanceof Refused refused
                      && request.id().isEmpty()
                      && ids.learn(refused.error());
              return again
                  ? pipe().submit(spec(request, ids.next()))
                  : CompletableFuture.completedFuture(result);
            })
        .thenApply(DispatchResult::orThrow);
  }

  /**
   * Stores many jobs, in batches of up to 1000, each job for itself.
   *
   * @param requests what to store
   * @return what became of each, in order; a refused job is a {@link Refused} with its error
   */
  public List<DispatchResult> dispatchAll(List<JobRequest> requests) {
    List<JobSpec> specs = new ArrayList<>(requests.size());
    requests.forEach(request -> specs.add(fitting(spec(request, idOf(request)))));
    List<DispatchResult> results = sendAll(specs);
    List<Integer> again = new ArrayList<>();
    for (int index = 0; index < results.size(); index++) {
      if (results.get(index) instanceof Refused refused
          && requests.get(index).id().isEmpty()
          && ids.learn(refused.error())) {
        again.add(index);
      }
    }
    List<DispatchResult> repeated =
        sendAll(again.stream().map(index -> spec(requests.get(index), ids.next())).toList());
    for (int place = 0; place < again.size(); place++) {
      results.set(again.get(place), repeated.get(place));
    }
    return results;
  }

  /**
   * Stores jobs, all of them or none.
   *
   * @param requests at most 1000 that fit into one message
   * @throws ProtoJobsException of the first job that is refused
   */
  public List<Dispatched> dispatchAtomic(List<JobRequest> requests) {
    if (requests.isEmpty()) {
      return List.of();
    }
    List<JobSpec> specs = requests.stream().map(request -> spec(request, idOf(request))).toList();
    if (Batches.split(specs, connection.options().maxMessageBytes()).size() > 1) {
      throw new IllegalArgumentException(
          "an atomic batch must fit into one message of at most 1000 jobs");
    }
    List<DispatchResult> results;
    try {
      results = send(specs, true);
    } catch (InvalidArgumentException error) {
      if (!ids.learn(error)) {
        throw error;
      }
      results = send(requests.stream().map(request -> spec(request, idOf(request))).toList(), true);
    }
    return results.stream().map(DispatchResult::orThrow).toList();
  }

  private String idOf(JobRequest request) {
    return request.id().isEmpty() ? ids.next() : request.id();
  }

  private JobSpec spec(JobRequest request, String id) {
    // What has no id yet is a template of a schedule: the same declaration is the same message.
    Map<String, String> trace =
        id.isEmpty() ? Map.of() : TraceFields.current(connection.options().baggage());
    return request.toSpec(id, trace, codec, mapper);
  }

  /**
   * Makes a call with an id of ours; once more with another one where the server's clock differs
   * from this one.
   */
  private <T> T learning(JobRequest request, Function<String, T> call) {
    if (!request.id().isEmpty()) {
      return call.apply(request.id());
    }
    try {
      return call.apply(ids.next());
    } catch (InvalidArgumentException error) {
      if (!ids.learn(error)) {
        throw error;
      }
      return call.apply(ids.next());
    }
  }

  private JobSpec fitting(JobSpec spec) {
    int size = Batches.sizeOf(spec);
    int room = Batches.room(connection.options().maxMessageBytes());
    if (size > room) {
      Map<String, String> bounds =
          Map.of("limit", String.valueOf(room), "size", String.valueOf(size));
      throw new FailedPreconditionException(
          "the job does not fit into a message",
          new ProtoJobsException.Details(
              Status.Code.FAILED_PRECONDITION, "PAYLOAD_TOO_LARGE", bounds, List.of(), null));
    }
    return spec;
  }

  /** Sends in batches. The error of a whole batch becomes that of each of its items. */
  private List<DispatchResult> sendAll(List<JobSpec> specs) {
    List<DispatchResult> results = new ArrayList<>(specs.size());
    for (List<JobSpec> batch : Batches.split(specs, connection.options().maxMessageBytes())) {
      try {
        results.addAll(send(batch, false));
      } catch (ProtoJobsException error) {
        batch.forEach(spec -> results.add(new Refused(spec.getId(), error)));
      }
    }
    return results;
  }

  private List<DispatchResult> send(List<JobSpec> specs, boolean atomic) {
    DispatchBatchRequest request =
        DispatchBatchRequest.newBuilder().addAllSpecs(specs).setAtomic(atomic).build();
    DispatchBatchResponse answer =
        connection.call(
            JobServiceGrpc.getDispatchBatchMethod(),
            request,
            connection.options().dispatchDeadline());
    if (answer.getResultsCount() != specs.size()) {
      throw new ProtoJobsException("the answer to a batch has another number of results");
    }
    List<DispatchResult> results = new ArrayList<>(specs.size());
    for (int index = 0; index < specs.size(); index++) {
      results.add(Batches.read(answer.getResults(index), specs.get(index).getId()));
    }
    return results;
  }

  private synchronized DispatchPipe pipe() {
    if (closed) {
      throw new ProtoJobsException("the client is closed");
    }
    if (pipe == null) {
      loop =
          Executors.newSingleThreadScheduledExecutor(
              task -> {
                Thread thread = new Thread(task, "protojobs-dispatch");
                thread.setDaemon(true);
                return thread;
              });
      pipe = new DispatchPipe(connection, this::sendAll, loop);
    }
    return pipe;
  }

  /**
   * Finishes dispatches that are under way, for at most 5 s, and closes the connection. May be
   * repeated.
   */
  @Override
  public void close() {
    Optional<DispatchPipe> open;
    synchronized (this) {
      open = Optional.ofNullable(closed ? null : pipe);
      closed = true;
    }
    open.ifPresent(
        each -> {
          each.close();
          loop.shutdown();
        });
    connection.close();
  }

  /** Collects settings of a client. */
  public static final class Builder {
    private ConnectionOptions options;
    private Connection connection;
    private PayloadCodec codec = PayloadCodec.PLAIN;
    private DataMapper mapper = DataMapper.standard();

    private Builder() {}

    /**
     * Says where the server is. Default: what the environment says.
     *
     * @param options address, credentials and deadlines
     */
    public Builder options(ConnectionOptions options) {
      this.options = options;
      return this;
    }

    /**
     * Uses a connection that is open; the client closes it.
     *
     * @param connection instead of options
     */
    public Builder connection(Connection connection) {
      this.connection = connection;
      return this;
    }

    /**
     * Puts payloads through a codec, for example to encrypt them. Default none.
     *
     * @param codec the same as that of the workers
     */
    public Builder codec(PayloadCodec codec) {
      this.codec = codec;
      return this;
    }

    /**
     * Says how data becomes JSON. Default: by Jackson.
     *
     * @param mapper safe for many threads
     */
    public Builder mapper(DataMapper mapper) {
      this.mapper = mapper;
      return this;
    }

    /** {@return the client; it connects when it is first used} */
    public Client build() {
      return new Client(this);
    }
  }
}
