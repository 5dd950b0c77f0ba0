package dev.protojobs.client;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * Where the server is and how patiently to talk to it.
 *
 * <p>Without TLS only to loopback addresses, unless {@link Builder#insecure} says so; anywhere else
 * TLS is used, with the system's roots unless {@link Builder#ca} names others.
 */
public final class ConnectionOptions {
  /** Where a server on this machine listens. */
  public static final String DEFAULT_ADDRESS = "127.0.0.1:50051";

  private final Builder given;

  private ConnectionOptions(Builder given) {
    this.given = given;
  }

  /** {@return options to change, with the defaults} */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * Returns options for an address, with the rest from the environment.
   *
   * @param address {@code host:port}, or several separated by commas
   */
  public static ConnectionOptions at(String address) {
    return fromEnvironment().toBuilder().address(address).build();
  }

  /**
   * Reads PROTOJOBS_ADDRESS, _TOKEN, _TOKEN_FILE, _CA, _CERT, _KEY, _SERVER_NAME, _INSECURE and
   * _CALL_TIMEOUT (seconds). Empty and absent variables leave the default.
   *
   * @throws IllegalArgumentException for values that cannot work
   */
  public static ConnectionOptions fromEnvironment() {
    return from(System.getenv());
  }

  static ConnectionOptions from(Map<String, String> environment) {
    Builder builder = builder();
    read(environment, "ADDRESS", Function.identity(), builder::address);
    read(environment, "TOKEN", Function.identity(), builder::token);
    read(environment, "TOKEN_FILE", Path::of, builder::tokenFile);
    read(environment, "CA", Path::of, builder::ca);
    read(environment, "CERT", Path::of, builder::cert);
    read(environment, "KEY", Path::of, builder::key);
    read(environment, "SERVER_NAME", Function.identity(), builder::serverName);
    read(environment, "INSECURE", ConnectionOptions::flag, builder::insecure);
    read(environment, "CALL_TIMEOUT", ConnectionOptions::seconds, builder::callTimeout);
    return builder.build();
  }

  private static <T> void read(
      Map<String, String> environment, String name, Function<String, T> parse, Consumer<T> set) {
    String value = environment.getOrDefault("PROTOJOBS_" + name, "");
    if (!value.isEmpty()) {
      set.accept(parse.apply(value));
    }
  }

  private static Duration seconds(String value) {
    return Duration.ofNanos(Math.round(Double.parseDouble(value) * 1e9));
  }

  private static boolean flag(String value) {
    return switch (value.toLowerCase(Locale.ROOT)) {
      case "1", "true", "yes", "on" -> true;
      case "0", "false", "no", "off" -> false;
      default -> throw new IllegalArgumentException("PROTOJOBS_INSECURE must be true or false");
    };
  }

  /** {@return the same options to change} */
  public Builder toBuilder() {
    return new Builder(given);
  }

  /** {@return host:port, several of them separated by commas, or a gRPC target} */
  public String address() {
    return given.address;
  }

  /** {@return the longest time of one try of a dispatch} */
  public Duration dispatchDeadline() {
    return given.dispatchDeadline;
  }

  /** {@return the longest time of one try of anything else} */
  public Duration readDeadline() {
    return given.readDeadline;
  }

  /** {@return the longest time of a call with its retries} */
  public Duration callTimeout() {
    return given.callTimeout;
  }

  /** {@return the largest message to send, bytes} */
  public int maxMessageBytes() {
    return given.maxMessageBytes;
  }

  /** {@return the largest message to take, bytes} */
  public int maxReceiveBytes() {
    return given.maxReceiveBytes;
  }

  /** {@return OpenTelemetry baggage keys that may travel with jobs} */
  public List<String> baggage() {
    return given.baggage;
  }

  /** Tells whether the connection is encrypted and the server's certificate checked. */
  public boolean usesTls() {
    return !given.insecure
        && (given.tls || given.ca != null || given.cert != null || !isLoopback());
  }

  Optional<String> token() {
    return Optional.ofNullable(given.token);
  }

  Optional<Path> tokenFile() {
    return Optional.ofNullable(given.tokenFile);
  }

  Optional<Path> ca() {
    return Optional.ofNullable(given.ca);
  }

  Optional<Path> cert() {
    return Optional.ofNullable(given.cert);
  }

  Optional<Path> key() {
    return Optional.ofNullable(given.key);
  }

  Optional<String> serverName() {
    return Optional.ofNullable(given.serverName);
  }

  boolean hasScheme() {
    return given.address.startsWith("dns:") || given.address.startsWith("unix:");
  }

  /** Returns the host:port parts of the address. */
  List<String> parts() {
    String plain =
        given.address.startsWith("dns:")
            ? given.address.replaceFirst("^dns:(//[^/]*/)?", "")
            : given.address;
    return Arrays.stream(plain.split(","))
        .map(String::strip)
        .filter(part -> !part.isEmpty())
        .toList();
  }

  private boolean isLoopback() {
    return given.address.startsWith("unix:")
        || parts().stream().map(ConnectionOptions::host).allMatch(ConnectionOptions::isLoopback);
  }

  static String host(String part) {
    if (part.startsWith("[")) {
      return part.substring(1, Math.max(1, part.indexOf(']')));
    }
    int colon = part.lastIndexOf(':');
    return colon < 0 ? part : part.substring(0, colon);
  }

  private static boolean isLoopback(String host) {
    if (host.equals("localhost")) {
      return true;
    }
    try {
      // Only literal addresses: a name must not be looked up to decide whether it is to be trusted.
      boolean literal = host.contains(":") || host.matches("[0-9.]+");
      return literal && InetAddress.getByName(host).isLoopbackAddress();
    } catch (UnknownHostException error) {
      return false;
    }
  }

  @Override
  public String toString() {
    return "ConnectionOptions[address=" + given.address + ", tls=" + usesTls() + "]";
  }

  /** Collects options. What is not set keeps its default. */
  public static final class Builder {
    private String address = DEFAULT_ADDRESS;
    private String token;
    private Path tokenFile;
    private Path ca;
    private Path cert;
    private Path key;
    private String serverName;
    private boolean tls;
    private boolean insecure;
    private Duration dispatchDeadline = Duration.ofSeconds(5);
    private Duration readDeadline = Duration.ofSeconds(10);
    private Duration callTimeout = Duration.ofSeconds(30);
    private int maxMessageBytes = 4 * 1024 * 1024;
    private int maxReceiveBytes = 16 * 1024 * 1024;
    private List<String> baggage = List.of();

    private Builder() {}

    private Builder(Builder other) {
      address = other.address;
      token = other.token;
      tokenFile = other.tokenFile;
      ca = other.ca;
      cert = other.cert;
      key = other.key;
      serverName = other.serverName;
      tls = other.tls;
      insecure = other.insecure;
      dispatchDeadline = other.dispatchDeadline;
      readDeadline = other.readDeadline;
      callTimeout = other.callTimeout;
      maxMessageBytes = other.maxMessageBytes;
      maxReceiveBytes = other.maxReceiveBytes;
      baggage = other.baggage;
    }

    /**
     * Names the server.
     *
     * @param address {@code host:port}, several literal addresses separated by commas, or a gRPC
     *     target
     */
    public Builder address(String address) {
      this.address = address.strip();
      return this;
    }

    /**
     * Sends this bearer token with every call.
     *
     * @param token the secret
     */
    public Builder token(String token) {
      this.token = token;
      return this;
    }

    /**
     * Sends the token of a file, which is read again when it changes. Excludes {@link #token}.
     *
     * @param tokenFile text file with the token alone
     */
    public Builder tokenFile(Path tokenFile) {
      this.tokenFile = tokenFile;
      return this;
    }

    /**
     * Switches TLS on and trusts these roots.
     *
     * @param ca PEM file
     */
    public Builder ca(Path ca) {
      this.ca = ca;
      return this;
    }

    /**
     * Shows this certificate to the server; with {@link #key}.
     *
     * @param cert PEM file of the client's certificate chain
     */
    public Builder cert(Path cert) {
      this.cert = cert;
      return this;
    }

    /**
     * Proves the certificate; with {@link #cert}.
     *
     * @param key PEM file of the client's private key (PKCS 8)
     */
    public Builder key(Path key) {
      this.key = key;
      return this;
    }

    /**
     * Expects this name in the server's certificate instead of the host.
     *
     * @param serverName a DNS name
     */
    public Builder serverName(String serverName) {
      this.serverName = serverName;
      return this;
    }

    /**
     * Uses TLS to this machine, too; elsewhere it is used anyway.
     *
     * @param tls whether to
     */
    public Builder tls(boolean tls) {
      this.tls = tls;
      return this;
    }

    /**
     * Uses no TLS, wherever the server is.
     *
     * @param insecure whether to
     */
    public Builder insecure(boolean insecure) {
      this.insecure = insecure;
      return this;
    }

    /**
     * Bounds one try of a dispatch. Default 5 s.
     *
     * @param deadline more than 0 s
     */
    public Builder dispatchDeadline(Duration deadline) {
      this.dispatchDeadline = deadline;
      return this;
    }

    /**
     * Bounds one try of anything else. Default 10 s.
     *
     * @param deadline more than 0 s
     */
    public Builder readDeadline(Duration deadline) {
      this.readDeadline = deadline;
      return this;
    }

    /**
     * Bounds a call with its retries. Default 30 s.
     *
     * @param timeout more than 0 s
     */
    public Builder callTimeout(Duration timeout) {
      this.callTimeout = timeout;
      return this;
    }

    /**
     * Says what the server takes in one message. Default 4 MiB.
     *
     * @param bytes at least 64 KiB
     */
    public Builder maxMessageBytes(int bytes) {
      this.maxMessageBytes = bytes;
      return this;
    }

    /**
     * Bounds what is taken in one message. Default 16 MiB.
     *
     * @param bytes at least 64 KiB
     */
    public Builder maxReceiveBytes(int bytes) {
      this.maxReceiveBytes = bytes;
      return this;
    }

    /**
     * Names the OpenTelemetry baggage that may travel with jobs. Default none: it may hold what no
     * store should.
     *
     * @param keys keys of baggage
     */
    public Builder baggage(List<String> keys) {
      this.baggage = List.copyOf(keys);
      return this;
    }

    /**
     * Returns the options.
     *
     * @throws IllegalArgumentException for what cannot work
     */
    public ConnectionOptions build() {
      require(!address.isEmpty(), "address is empty");
      require(token == null || tokenFile == null, "token and token file exclude each other");
      require((cert == null) == (key == null), "cert and key belong together");
      require(
          !insecure || (ca == null && cert == null && !tls),
          "insecure and ca, cert or tls exclude each other");
      for (Duration span : List.of(dispatchDeadline, readDeadline, callTimeout)) {
        require(!span.isNegative() && !span.isZero(), "deadlines must be more than 0 s");
      }
      require(
          Math.min(maxMessageBytes, maxReceiveBytes) >= 64 * 1024, "messages have at least 64 KiB");
      return new ConnectionOptions(new Builder(this));
    }

    private static void require(boolean holds, String otherwise) {
      if (!holds) {
        throw new IllegalArgumentException(otherwise);
      }
    }
  }
}
