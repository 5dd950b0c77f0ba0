package dev.protojobs.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;

/** Sends the bearer token with every call: one by value, or one in a file that may change. */
final class BearerToken implements ClientInterceptor {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Path file;
  private String value;
  private FileTime changedAt;

  private BearerToken(String value, Path file) {
    this.value = value;
    this.file = file;
  }

  static BearerToken of(String value) {
    return new BearerToken(value, null);
  }

  static BearerToken in(Path file) {
    return new BearerToken(null, file);
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void start(Listener<A> listener, Metadata headers) {
        headers.put(AUTHORIZATION, "Bearer " + current());
        super.start(listener, headers);
      }
    };
  }

  /**
   * Returns the token. While its file is being replaced, that may be empty or gone: the last token
   * stays.
   */
  synchronized String current() {
    if (file != null) {
      try {
        FileTime changed = Files.getLastModifiedTime(file);
        String found = changed.equals(changedAt) ? "" : Files.readString(file).strip();
        if (!found.isEmpty()) {
          value = found;
          changedAt = changed;
        }
      } catch (IOException error) {
        if (value == null) {
          throw unauthenticated("the token file cannot be read: " + error.getMessage());
        }
      }
      if (value == null) {
        throw unauthenticated("the token file is empty: " + file);
      }
    }
    return value;
  }

  private static UnauthenticatedException unauthenticated(String message) {
    return new UnauthenticatedException(
        message, ProtoJobsException.Details.of(io.grpc.Status.Code.UNAUTHENTICATED));
  }
}
