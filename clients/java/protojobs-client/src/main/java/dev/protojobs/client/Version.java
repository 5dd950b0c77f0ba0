package dev.protojobs.client;

import java.util.Optional;

/** Which version of this library runs. */
public final class Version {
  private Version() {}

  /**
   * {@return the version that stands in the archive; {@code dev} where classes do not come from
   * one}
   */
  public static String current() {
    return Optional.ofNullable(Version.class.getPackage().getImplementationVersion()).orElse("dev");
  }
}
