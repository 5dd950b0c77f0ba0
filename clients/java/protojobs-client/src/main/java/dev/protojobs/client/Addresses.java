package dev.protojobs.client;

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

/**
 * Resolves {@code protojobs:///host:port,host:port}: several servers by their literal addresses.
 */
final class Addresses extends NameResolverProvider {
  private static final String SCHEME = "protojobs";

  static {
    NameResolverRegistry.getDefaultRegistry().register(new Addresses());
  }

  /** Returns the gRPC target of these options. */
  static String target(ConnectionOptions options) {
    if (options.hasScheme()) {
      return options.address();
    }
    List<String> parts = options.parts();
    return parts.size() == 1 ? "dns:///" + parts.get(0) : SCHEME + ":///" + String.join(",", parts);
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
    return new Fixed(parts.get(0), parts.stream().map(Addresses::group).toList());
  }

  private static EquivalentAddressGroup group(String part) {
    int port = Integer.parseInt(part.substring(part.lastIndexOf(':') + 1));
    return new EquivalentAddressGroup(new InetSocketAddress(ConnectionOptions.host(part), port));
  }

  private static final class Fixed extends NameResolver {
    private final String authority;
    private final List<EquivalentAddressGroup> groups;

    Fixed(String authority, List<EquivalentAddressGroup> groups) {
      this.authority = authority;
      this.groups = groups;
    }

    @Override
    public String getServiceAuthority() {
      return authority;
    }

    @Override
    public void start(Listener2 listener) {
      listener.onResult(
          ResolutionResult.newBuilder().setAddressesOrError(StatusOr.fromValue(groups)).build());
    }

    @Override
    public void shutdown() {
      // Nothing is held.
    }
  }
}
