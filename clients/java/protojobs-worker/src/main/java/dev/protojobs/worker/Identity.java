package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.HexFormat;

/** Who a session is: its secret, and how many streams it has had. */
final class Identity {
  private static final int BYTES = 16;

  private final ByteString id;
  private long streamNo;
  private boolean stands;

  Identity() {
    byte[] random = new byte[BYTES];
    new SecureRandom().nextBytes(random);
    id = ByteString.copyFrom(random);
  }

  /** Returns the secret that proves leases. */
  ByteString id() {
    return id;
  }

  long streamNo() {
    return streamNo;
  }

  void nextStream() {
    streamNo++;
  }

  /** Notes a Welcome. True: there was one before. */
  boolean welcomed() {
    boolean before = stands;
    stands = true;
    return before;
  }

  /** Returns what names the session in public. */
  String mark() {
    try {
      byte[] hash = MessageDigest.getInstance("SHA-256").digest(id.toByteArray());
      return HexFormat.of().formatHex(hash, 0, BYTES);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException("every Java has SHA-256", error);
    }
  }
}
