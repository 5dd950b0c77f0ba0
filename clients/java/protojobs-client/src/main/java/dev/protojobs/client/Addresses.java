package dev.protojobs.client;

import io.grpc.Attributes;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.StatusOr;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;

/** Resolves {@code protojobs:///host:port,host:port}: several servers by host and port. */
final class Addresses extends NameResolverProvider {
  private static final String SCHEME = "protojobs";
  // Says that all servers have one name in their certificates; else each has that of its host.
  private static final String ONE_NAME = "one-name";

  static {
    NameResolverRegistry.getDefaultRegistry().register(new Addresses());
  }

  /** Returns the gRPC target of these options. */
  static String target(ConnectionOptions options) {
    if (options.hasScheme()) {
      return options.address();
    }
    List<String> parts = options.parts();
    return parts.size() == 1
        ? "dns:///" + parts.get(0)
        : SCHEME
            + "://"
            + (options.serverName().isPresent() ? ONE_NAME : "")
            + "/"
            + String.join(",", parts);
  }

  @Override
  protected boolean isAvailable() {
    return true;
  }

  @Override
  protected int priority() {
    return 5;
  }

  @Override
  public String getDefaultScheme() {
    return SCHEME;
  }

  @Override
  public Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
    return List.of(InetSocketAddress.class);
  }

  @Override
  public NameResolver newNameResolver(URI target, NameResolver.Args args) {
    if (!SCHEME.equals(target.getScheme())) {
      return null;
    }
    List<String> parts = Arrays.asList(target.getPath().substring(1).split(","));
    return new Several(parts, ONE_NAME.equals(target.getAuthority()), args.getOffloadExecutor());
  }

  private static EquivalentAddressGroup group(String part, boolean oneName) {
    String host = ConnectionOptions.host(part);
    int port = Integer.parseInt(part.substring(part.lastIndexOf(':') + 1));
    Attributes attributes =
        oneName
            ? Attributes.EMPTY
            : Attributes.newBuilder()
                .set(EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE, part)
                .build();
    return new EquivalentAddressGroup(new InetSocketAddress(host, port), attributes);
  }

  private static final class Several extends NameResolver {
    private final List<String> parts;
    private final boolean oneName;
    private final Executor executor;
    private Listener2 listener;

    Several(List<String> parts, boolean oneName, Executor executor) {
      this.parts = parts;
      this.oneName = oneName;
      this.executor = executor == null ? ForkJoinPool.commonPool() : executor;
    }

    @Override
    public String getServiceAuthority() {
      return parts.get(0);
    }

    @Override
    public void start(Listener2 hearing) {
      listener = hearing;
      refresh();
    }

    /** Looks names up again: a server may have come back under another address. */
    @Override
    public void refresh() {
      Listener2 hearing = listener;
      executor.execute(
          () -> {
            List<EquivalentAddressGroup> groups =
                parts.stream().map(part -> group(part, oneName)).toList();
            hearing.onResult(
                ResolutionResult.newBuilder()
                    .setAddressesOrError(StatusOr.fromValue(groups))
                    .build());
          });
    }

    @Override
    public void shutdown() {
      // Nothing is held.
    }
  }
}
