package dev.protojobs.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.ClientCalls;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * One channel to the servers, and the one way to make a call: with a deadline, retries and typed
 * errors. Connects when it is first used. Safe for use by many threads.
 */
public final class Connection implements AutoCloseable {
  private static final Duration SHORTEST_TRY = Duration.ofMillis(50);

  private final ConnectionOptions options;
  private final ManagedChannel channel;

  private Connection(ConnectionOptions options, ManagedChannel channel) {
    this.options = options;
    this.channel = channel;
  }

  /**
   * Opens a connection.
   *
   * @param options where to, and by which credentials
   * @throws UncheckedIOException if a certificate or key file cannot be read
   */
  public static Connection open(ConnectionOptions options) {
    ManagedChannelBuilder<?> builder =
        Grpc.newChannelBuilder(Addresses.target(options), credentials(options))
            .userAgent("protojobs-java/" + Version.current())
            .maxInboundMessageSize(options.maxReceiveBytes())
            .maxInboundMetadataSize(16 * 1024)
            .keepAliveTime(20, TimeUnit.SECONDS)
            .keepAliveTimeout(10, TimeUnit.SECONDS)
            .keepAliveWithoutCalls(true)
            .defaultLoadBalancingPolicy("round_robin")
            // Repeats are ours: those of gRPC know nothing of what the server says in its details.
            .disableRetry();
    options.serverName().ifPresent(builder::overrideAuthority);
    options.token().map(BearerToken::of).ifPresent(builder::intercept);
    options.tokenFile().map(BearerToken::in).ifPresent(builder::intercept);
    return new Connection(options, builder.build());
  }

  /**
   * Returns a connection by a channel that exists, for tests and for settings that options do not
   * have. Closing the connection closes the channel.
   *
   * @param options deadlines; address and credentials are the channel's own
   * @param channel open channel
   */
  public static Connection over(ConnectionOptions options, ManagedChannel channel) {
    return new Connection(options, channel);
  }

  private static ChannelCredentials credentials(ConnectionOptions options) {
    if (!options.usesTls()) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    try {
      if (options.ca().isPresent()) {
        builder.trustManager(options.ca().get().toFile());
      }
      if (options.cert().isPresent() && options.key().isPresent()) {
        builder.keyManager(options.cert().get().toFile(), options.key().get().toFile());
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return builder.build();
  }

  /** {@return what the connection was opened with} */
  public ConnectionOptions options() {
    return options;
  }

  /** {@return the channel, for stubs of the generated code} */
  public Channel channel() {
    return channel;
  }

  /**
   * Makes an idempotent call; repeats it while its error is retryable, until the call timeout is
   * over.
   *
   * @param <Q> request
   * @param <A> answer
   * @param method generated method descriptor
   * @param request what to send
   * @param deadline longest time of one try
   * @return the answer
   * @throws ProtoJobsException if the call fails for good, or for too long
   */
  public <Q, A> A call(MethodDescriptor<Q, A> method, Q request, Duration deadline) {
    checkOpen();
    Duration whole = longer(options.callTimeout(), deadline);
    long end = System.nanoTime() + whole.toNanos();
    Backoff backoff = new Backoff(ThreadLocalRandom.current());
    ProtoJobsException failure = null;
    while (true) {
      Duration left = Duration.ofNanos(end - System.nanoTime());
      Duration oneTry = longer(SHORTEST_TRY, deadline.compareTo(left) < 0 ? deadline : left);
      try {
        return once(method, request, oneTry);
      } catch (ProtoJobsException error) {
        // The last tries are cut short: why the earlier ones failed tells more.
        failure = failure != null && error instanceof DeadlineExceededException ? failure : error;
        Optional<Duration> wait = backoff.after(error);
        if (wait.isEmpty() || System.nanoTime() + wait.get().toNanos() >= end) {
          throw failure;
        }
        pause(wait.get());
        checkOpen();
        hasten();
      }
    }
  }

  /**
   * Makes an idempotent call with the read deadline. See {@link #call(MethodDescriptor, Object,
   * Duration)}.
   *
   * @param <Q> request
   * @param <A> answer
   * @param method generated method descriptor
   * @param request what to send
   * @return the answer
   */
  public <Q, A> A call(MethodDescriptor<Q, A> method, Q request) {
    return call(method, request, options.readDeadline());
  }

  /** Fails after {@link #close}: no other try could ever succeed. */
  private void checkOpen() {
    if (channel.isShutdown()) {
      throw new ProtoJobsException("the client is closed");
    }
  }

  private <Q, A> A once(MethodDescriptor<Q, A> method, Q request, Duration deadline) {
    CallOptions call =
        CallOptions.DEFAULT.withDeadlineAfter(deadline.toNanos(), TimeUnit.NANOSECONDS);
    try {
      return ClientCalls.blockingUnaryCall(channel, method, call, request);
    } catch (RuntimeException error) {
      if (Thread.currentThread().isInterrupted()) {
        throw interrupted(error);
      }
      throw Statuses.translate(error);
    }
  }

  /** Lets a lost connection be tried at once: gRPC's own waits grow to two minutes. */
  public void hasten() {
    channel.resetConnectBackoff();
  }

  private static void pause(Duration wait) {
    try {
      TimeUnit.NANOSECONDS.sleep(wait.toNanos());
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw interrupted(error);
    }
  }

  /** The outcome is unknown, but whoever interrupts does not want another try. */
  private static ProtoJobsException interrupted(Throwable cause) {
    ProtoJobsException told =
        new ProtoJobsException(
            "the thread was interrupted", ProtoJobsException.Details.of(Status.Code.CANCELLED));
    told.initCause(cause);
    return told;
  }

  private static Duration longer(Duration one, Duration other) {
    return one.compareTo(other) < 0 ? other : one;
  }

  /** Closes the channel. Calls that are under way fail. May be repeated. */
  @Override
  public void close() {
    channel.shutdownNow();
  }
}
