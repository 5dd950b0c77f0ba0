package dev.protojobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ConnectionOptionsTest {
  private static ConnectionOptions at(String address) {
    return ConnectionOptions.builder().address(address).build();
  }

  @Test
  void everyVariableOfTheEnvironmentIsRead() {
    ConnectionOptions options =
        ConnectionOptions.from(
            Map.of(
                "PROTOJOBS_ADDRESS", "jobs.example:443",
                "PROTOJOBS_TOKEN_FILE", "/run/token",
                "PROTOJOBS_CA", "/run/ca",
                "PROTOJOBS_CERT", "/run/cert",
                "PROTOJOBS_KEY", "/run/key",
                "PROTOJOBS_SERVER_NAME", "jobs",
                "PROTOJOBS_CALL_TIMEOUT", "1.5",
                "PROTOJOBS_TOKEN", ""));

    assertEquals("jobs.example:443", options.address());
    assertEquals(Optional.of(Path.of("/run/token")), options.tokenFile());
    assertEquals(Optional.of(Path.of("/run/ca")), options.ca());
    assertEquals(Optional.of(Path.of("/run/cert")), options.cert());
    assertEquals(Optional.of(Path.of("/run/key")), options.key());
    assertEquals(Optional.of("jobs"), options.serverName());
    assertEquals(Duration.ofMillis(1500), options.callTimeout());
    assertEquals(Optional.empty(), options.token());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.1:1",
        "127.8.8.8:1",
        "localhost:1",
        "[::1]:1",
        "unix:/run/jobs",
        "dns:///localhost:1"
      })
  void toThisMachineThereIsNoTls(String address) {
    assertFalse(at(address).usesTls());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "10.0.0.1:1",
        "jobs.example:1",
        "127.0.0.1:1,10.0.0.1:1",
        "dns:///jobs:1",
        "127.0.0.1.evil.example:1"
      })
  void toAnotherMachineThereIs(String address) {
    assertTrue(at(address).usesTls());
  }

  @Test
  void aCaOrCertificateMeansTlsToThisMachineToo() {
    assertTrue(ConnectionOptions.builder().ca(Path.of("/ca")).build().usesTls());
    assertFalse(ConnectionOptions.builder().address("far:1").insecure(true).build().usesTls());
  }

  @Test
  void whatCannotWorkIsRefused() {
    ConnectionOptions.Builder both =
        ConnectionOptions.builder().token("t").tokenFile(Path.of("/f"));
    ConnectionOptions.Builder half = ConnectionOptions.builder().cert(Path.of("/c"));
    ConnectionOptions.Builder torn = ConnectionOptions.builder().insecure(true).ca(Path.of("/c"));

    List.of(both, half, torn)
        .forEach(each -> assertThrows(IllegalArgumentException.class, each::build));
  }

  @Test
  void noTokenIsShownInText() {
    assertFalse(
        ConnectionOptions.builder().token("pj_secret").build().toString().contains("pj_secret"));
  }

  @Test
  void aTokenFileIsReadAgainWhenItHasChangedAndKeptWhileItIsGone(@TempDir Path directory)
      throws IOException {
    Path file = directory.resolve("token");
    Files.writeString(file, "first\n");
    BearerToken token = BearerToken.in(file);
    assertEquals("first", token.current());

    Files.writeString(file, "second\n");
    Files.setLastModifiedTime(file, FileTime.from(Instant.now().plusSeconds(5)));
    assertEquals("second", token.current());

    Files.delete(file);
    assertEquals("second", token.current());
  }

  @Test
  void aTokenFileThatWasNeverThereIsAnErrorOfCredentials(@TempDir Path directory) {
    BearerToken token = BearerToken.in(directory.resolve("none"));

    assertThrows(UnauthenticatedException.class, token::current);
  }
}
