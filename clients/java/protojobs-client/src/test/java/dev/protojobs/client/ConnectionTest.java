package dev.protojobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.protojobs.v1.JobFilter;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class ConnectionTest {
  private final FakeServer server = new FakeServer();

  @AfterEach
  void close() {
    server.close();
  }

  private Client client(ConnectionOptions options, BearerToken token) {
    return Client.builder().connection(server.connection(options, token)).build();
  }

  @Test
  void withoutATokenInItsFileEveryKindOfCallFailsAndWorksOnceItIsThere(@TempDir Path directory)
      throws IOException {
    Path file = directory.resolve("token");
    try (Client client = client(FakeServer.OPTIONS, BearerToken.in(file))) {
      JobRequest request = JobRequest.of("echo", 1);
      CompletableFuture<Dispatched> streamed = client.dispatchAsync(request);

      assertThrows(UnauthenticatedException.class, () -> client.dispatch(request));
      assertInstanceOf(
          UnauthenticatedException.class,
          assertThrows(CompletionException.class, streamed::join).getCause());
      assertThrows(
          UnauthenticatedException.class,
          () -> client.jobs().watch(JobFilter.getDefaultInstance()));

      Files.writeString(file, "secret");

      assertEquals(
          server.specs.size() + 1,
          client.dispatchAsync(request).thenApply(dispatched -> server.specs.size()).join());
    }
  }

  @Test
  void aWatchThatNobodyAnswersEndsWithItsTimeout() {
    ConnectionOptions hasty =
        FakeServer.OPTIONS.toBuilder().callTimeout(Duration.ofMillis(300)).build();
    try (Client client = client(hasty, BearerToken.of("secret"))) {
      assertThrows(
          DeadlineExceededException.class,
          () -> client.jobs().watch(JobFilter.getDefaultInstance()));
    }
  }

  @Test
  void aServerThatIsAwayAmongSeveralIsPassedOverAndTheTokenGoesWithEveryCall() throws IOException {
    Set<String> tokens = ConcurrentHashMap.newKeySet();
    ServerInterceptor listening =
        new ServerInterceptor() {
          @Override
          public <Q, A> ServerCall.Listener<Q> interceptCall(
              ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
            tokens.add(
                String.valueOf(
                    headers.get(
                        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER))));
            return next.startCall(call, headers);
          }
        };
    Server listener =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(server)
            .intercept(listening)
            .build()
            .start();
    ConnectionOptions options =
        ConnectionOptions.builder()
            .address("127.0.0.1:1,localhost:" + listener.getPort())
            .token("secret")
            .build();
    try (Client client = Client.builder().options(options).build()) {
      client.dispatch("echo", 1);
      client.dispatchAsync(JobRequest.of("echo", 2)).join();
    } finally {
      listener.shutdownNow();
    }

    assertEquals(2, server.specs.size());
    assertEquals(Set.of("Bearer secret"), tokens);
  }
}
