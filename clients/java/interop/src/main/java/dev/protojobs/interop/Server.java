package dev.protojobs.interop;

import dev.protojobs.client.Client;
import dev.protojobs.client.ConnectionOptions;
import picocli.CommandLine.Option;

/** Options of every command that talks to a server. */
final class Server {
  @Option(names = "--addr", description = "host:port; else PROTOJOBS_ADDRESS")
  private String address;

  @Option(names = "--json", description = "accepted; output is always JSON")
  private boolean json;

  ConnectionOptions options() {
    return address == null ? ConnectionOptions.fromEnvironment() : ConnectionOptions.at(address);
  }

  Client client() {
    return Client.builder().options(options()).build();
  }
}
