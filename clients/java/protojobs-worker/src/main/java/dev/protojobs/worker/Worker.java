package dev.protojobs.worker;

import dev.protojobs.client.Connection;
import dev.protojobs.client.ConnectionOptions;
import dev.protojobs.client.DataMapper;
import dev.protojobs.client.PayloadCodec;
import java.lang.reflect.Type;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Takes jobs of some queues and runs their handlers.
 *
 * <pre>{@code
 * Worker worker =
 *     Worker.builder()
 *         .queue("emails")
 *         .handle("send_email", Email.class, (job, email) -> send(email))
 *         .build();
 * System.exit(worker.run().code());
 * }</pre>
 *
 * <p>A worker reconnects for ever, on whatever server answers, and goes on with what it holds. A
 * job runs at least once: make handlers idempotent.
 */
public final class Worker implements AutoCloseable {
  private static final long END_SECONDS = 5;

  private final WorkerOptions options;
  private final Connection connection;
  private final List<WorkerListener> listeners;
  private final ScheduledExecutorService loop;
  private final Session session;
  private final Rules rules;
  private CompletableFuture<ExitReason> ended;
  private boolean signalled;

  private Worker(Builder builder) {
    options = builder.options();
    listeners = List.copyOf(builder.listeners);
    connection =
        builder.connection == null
            ? Connection.open(
                builder.server == null ? ConnectionOptions.fromEnvironment() : builder.server)
            : builder.connection;
    Map<String, Handler> handlers = new LinkedHashMap<>();
    builder.handlers.forEach(
        (kind, given) ->
            handlers.put(
                kind,
                new Handler(
                    kind, given.type, given.target, given.options, builder.codec, builder.mapper)));
    ScheduledThreadPoolExecutor single =
        new ScheduledThreadPoolExecutor(
            1,
            task -> {
              Thread thread = new Thread(task, "protojobs-session");
              thread.setDaemon(true);
              return thread;
            });
    // What is due later has nobody to do it for once the session is over.
    single.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    loop = single;
    session = new Session(options, handlers, connection, listeners, loop, new SplittableRandom());
    rules = new Rules(options, session, connection);
  }

  /** {@return settings of a worker, with the defaults} */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * Works until the worker ends; returns why. Handles signals.
   *
   * <p>SIGTERM and SIGINT: finishes running jobs for the grace, then asks them to stop for the stop
   * grace, then gives them back. A second one: gives everything back now.
   */
  public ExitReason run() {
    try (Signals signals = Signals.handle(this::onSignal, "TERM", "INT")) {
      return start().get();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      stopNow();
      return ended.join();
    } catch (ExecutionException error) {
      throw new IllegalStateException(error.getCause());
    }
  }

  private synchronized void onSignal() {
    session.leave(signalled ? ExitReason.KILLED : ExitReason.STOPPED);
    signalled = true;
  }

  /**
   * Begins to work and returns. May be repeated; a worker that has ended does not begin again.
   *
   * @return completes with why the worker has ended
   */
  public synchronized CompletableFuture<ExitReason> start() {
    if (ended == null) {
      rules.start();
      ended = session.start().thenApplyAsync(this::end);
    }
    return ended;
  }

  private ExitReason end(ExitReason reason) {
    rules.close();
    if (reason != ExitReason.KILLED) {
      session.executor.awaitHooks(options.stopGrace());
    }
    loop.shutdown();
    try {
      loop.awaitTermination(END_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
    connection.close();
    listeners.forEach(
        listener -> Execution.tell(() -> listener.stopped(reason, session.processed())));
    return reason;
  }

  /** Takes no more jobs, and gives back what has not begun. */
  public void quiet() {
    session.quiet();
  }

  /**
   * Leaves as after SIGTERM: finishes what runs. Returns at once; {@link #start} tells when it has
   * ended.
   */
  public void stop() {
    session.leave(ExitReason.STOPPED);
  }

  /** Leaves as after a second SIGTERM: gives everything back now. Returns at once. */
  public void stopNow() {
    session.leave(ExitReason.STOPPED);
    session.leave(ExitReason.KILLED);
  }

  /** Stops as {@link #stop} does, and waits until the worker has ended. */
  @Override
  public void close() {
    CompletableFuture<ExitReason> running;
    synchronized (this) {
      running = ended;
    }
    if (running == null) {
      end(ExitReason.STOPPED);
    } else {
      stop();
      running.join();
    }
  }

  /** Collects settings of a worker. */
  public static final class Builder {
    private final Map<String, Given> handlers = new LinkedHashMap<>();
    private final Map<String, Integer> queues = new LinkedHashMap<>();
    private final List<WorkerListener> listeners = new ArrayList<>();
    private ConnectionOptions server;
    private Connection connection;
    private PayloadCodec codec = PayloadCodec.PLAIN;
    private DataMapper mapper = DataMapper.standard();
    private String name;
    private boolean strict;
    private int slots = 10;
    private Integer window;
    private Duration sessionTtl;
    private Duration grace = Duration.ofSeconds(30);
    private Duration stopGrace = Duration.ofSeconds(5);
    private Integer stuckLimit;
    private boolean untilEmpty;
    private Duration emptyGrace = Duration.ofSeconds(10);
    private Long maxJobs;
    private Long maxMemory;
    private Duration maxLifetime;
    private Path healthFile;
    private Duration unhealthyAfter = Duration.ofSeconds(120);

    private Builder() {}

    private record Given(Type type, JobHandler<Object> target, HandlerOptions options) {}

    /**
     * Says where the server is. Default: what PROTOJOBS_* of the environment say.
     *
     * @param server address, credentials and deadlines
     */
    public Builder server(ConnectionOptions server) {
      this.server = server;
      return this;
    }

    /**
     * Says where the server is, with credentials from the environment.
     *
     * @param address {@code host:port}
     */
    public Builder server(String address) {
      return server(ConnectionOptions.at(address));
    }

    /**
     * Uses a connection that is open; the worker closes it.
     *
     * @param connection instead of a server
     */
    public Builder connection(Connection connection) {
      this.connection = connection;
      return this;
    }

    /**
     * Reads a queue. Default: {@code default} alone.
     *
     * @param name name of the queue
     */
    public Builder queue(String name) {
      return queue(name, 1);
    }

    /**
     * Reads a queue that has a share against the others.
     *
     * @param name name of the queue; at most 100 of them
     * @param weight 1 to 1000
     */
    public Builder queue(String name, int weight) {
      queues.put(name, weight);
      return this;
    }

    /**
     * Serves a queue only while those that were named before it have nothing. Default: by weight.
     *
     * @param strict whether to
     */
    public Builder strict(boolean strict) {
      this.strict = strict;
      return this;
    }

    /**
     * Registers the handler of a kind.
     *
     * @param <T> what payloads are decoded into
     * @param kind which jobs it runs
     * @param type class of T: a type that the mapper builds from JSON; {@code byte[]}, {@code
     *     ByteString} or {@code Payload} for the bytes; {@code Void} for none
     * @param handler does the work, on many threads at once
     */
    public <T> Builder handle(String kind, Class<T> type, JobHandler<T> handler) {
      return handle(kind, type, handler, HandlerOptions.standard());
    }

    /**
     * Registers the handler of a kind.
     *
     * @param <T> what payloads are decoded into
     * @param kind which jobs it runs
     * @param type class of T
     * @param handler does the work
     * @param options run timeout, which failures are retried, and who hears of those for good
     * @throws IllegalArgumentException if the kind has a handler
     */
    public <T> Builder handle(
        String kind, Class<T> type, JobHandler<T> handler, HandlerOptions options) {
      return handleAs(
          kind, type, (context, data) -> handler.handle(context, type.cast(data)), options);
    }

    /**
     * Registers the handler of a kind whose payload has a type that no class names, such as a list
     * of a type.
     *
     * @param kind which jobs it runs
     * @param type a type that the mapper builds from JSON
     * @param handler does the work
     * @param options run timeout, which failures are retried, and who hears of those for good
     * @throws IllegalArgumentException if the kind has a handler
     */
    public Builder handleAs(
        String kind, Type type, JobHandler<Object> handler, HandlerOptions options) {
      if (handlers.putIfAbsent(kind, new Given(type, handler, options)) != null) {
        throw new IllegalArgumentException("kind " + kind + " has a handler already");
      }
      return this;
    }

    /**
     * Tells what the worker does.
     *
     * @param listener called in addition to those before
     */
    public Builder listener(WorkerListener listener) {
      listeners.add(listener);
      return this;
    }

    /**
     * Puts payloads, results and checkpoints through a codec, for example to encrypt them. Default
     * none.
     *
     * @param codec the same as that of the producers
     */
    public Builder codec(PayloadCodec codec) {
      this.codec = codec;
      return this;
    }

    /**
     * Says how JSON becomes data. Default: by Jackson.
     *
     * @param mapper safe for many threads
     */
    public Builder mapper(DataMapper mapper) {
      this.mapper = mapper;
      return this;
    }

    /**
     * Labels the worker for people. Default: host and process id.
     *
     * @param name cut to 128 bytes
     */
    public Builder name(String name) {
      this.name = name;
      return this;
    }

    /**
     * Runs so many handlers at once. Default 10.
     *
     * @param slots 1 to 100000
     */
    public Builder slots(int slots) {
      this.slots = slots;
      return this;
    }

    /**
     * Holds so many jobs that are not settled. Default: slots, and what 0.02 to 0.25 s of work
     * need.
     *
     * @param window 1 to 100000
     */
    public Builder window(int window) {
      this.window = window;
      return this;
    }

    /**
     * Says how long leases outlive the last heartbeat. Default: the server's, 30 s.
     *
     * @param ttl 2 s to 10 min
     */
    public Builder sessionTtl(Duration ttl) {
      this.sessionTtl = ttl;
      return this;
    }

    /**
     * Lets running handlers finish for so long when the worker is to stop. Default 30 s.
     *
     * @param grace at least 0 s
     */
    public Builder grace(Duration grace) {
      this.grace = grace;
      return this;
    }

    /**
     * Lets handlers that were asked to stop clean up for so long. Default 5 s.
     *
     * @param stopGrace at least 0 s
     */
    public Builder stopGrace(Duration stopGrace) {
      this.stopGrace = stopGrace;
      return this;
    }

    /**
     * Ends the worker once so many handlers do not stop. Default 3, at most half of the slots.
     *
     * @param limit at least 1
     */
    public Builder stuckLimit(int limit) {
      this.stuckLimit = limit;
      return this;
    }

    /**
     * Ends the worker once nothing waits in its queues. Default: it works until it is stopped.
     *
     * @param untilEmpty whether to
     */
    public Builder untilEmpty(boolean untilEmpty) {
      this.untilEmpty = untilEmpty;
      return this;
    }

    /**
     * With {@link #untilEmpty}: leaves after so long without a delivery, whatever the server
     * counts. Default 10 s.
     *
     * @param grace at least 1 s
     */
    public Builder emptyGrace(Duration grace) {
      this.emptyGrace = grace;
      return this;
    }

    /**
     * Ends the worker after so many jobs.
     *
     * @param jobs at least 1
     */
    public Builder maxJobs(long jobs) {
      this.maxJobs = jobs;
      return this;
    }

    /**
     * Ends the worker when the process has grown to so much.
     *
     * @param bytes resident memory
     */
    public Builder maxMemory(long bytes) {
      this.maxMemory = bytes;
      return this;
    }

    /**
     * Ends the worker after so long.
     *
     * @param lifetime more than 0 s
     */
    public Builder maxLifetime(Duration lifetime) {
      this.maxLifetime = lifetime;
      return this;
    }

    /**
     * Touches a file while the worker is healthy, and removes it else.
     *
     * @param file in a directory that exists
     */
    public Builder healthFile(Path file) {
      this.healthFile = file;
      return this;
    }

    /**
     * Takes a worker without a stream for unhealthy after so long. Default 120 s.
     *
     * @param unhealthyAfter at least 0 s
     */
    public Builder unhealthyAfter(Duration unhealthyAfter) {
      this.unhealthyAfter = unhealthyAfter;
      return this;
    }

    /**
     * Returns the worker; nothing is taken before {@link Worker#run} or {@link Worker#start}.
     *
     * @throws IllegalArgumentException for settings that cannot work
     */
    public Worker build() {
      return new Worker(this);
    }

    private WorkerOptions options() {
      return new WorkerOptions(
          name == null ? defaultName() : name,
          queues.isEmpty() ? Map.of("default", 1) : new LinkedHashMap<>(queues),
          strict,
          slots,
          window,
          sessionTtl,
          grace,
          stopGrace,
          Math.max(1, stuckLimit == null ? Math.min(3, slots / 2) : stuckLimit),
          untilEmpty,
          emptyGrace,
          maxJobs,
          maxMemory,
          maxLifetime,
          healthFile,
          unhealthyAfter);
    }

    private static String defaultName() {
      String host;
      try {
        host = InetAddress.getLocalHost().getHostName();
      } catch (UnknownHostException error) {
        host = "unknown";
      }
      return host + ":" + ProcessHandle.current().pid();
    }
  }
}
