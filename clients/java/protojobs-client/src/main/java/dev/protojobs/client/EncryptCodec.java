package dev.protojobs.client;

import com.google.protobuf.ByteString;
import dev.protojobs.client.PayloadContext.Use;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Pattern;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Encrypts and authenticates by AES-256-GCM.
 *
 * <p>A payload is bound to its kind and queue, a result or checkpoint to its kind and job:
 * elsewhere it does not decrypt. Rotation: give all readers the new key beside the old one, then
 * make it active, and drop the old one when nothing that it encrypted is left. Two jobs with one
 * payload look different; the size of a payload can be seen.
 */
public final class EncryptCodec implements PayloadCodec {
  private static final Pattern KEY_ID = Pattern.compile("[A-Za-z0-9._-]{1,64}");
  private static final int KEY_BYTES = 32;
  private static final int NONCE_BYTES = 12;
  private static final int TAG_BYTES = 16;
  private static final int QUEUE_BOUND = 1;

  private final Map<String, Key> keys = new HashMap<>();
  private final String active;
  private final boolean bindQueue;
  private final boolean required;

  /**
   * Encrypts with the only key there is, and reads what is not encrypted as it is.
   *
   * @param keyId 1 to 64 of {@code [A-Za-z0-9._-]}, stored in the clear
   * @param key 32 random bytes
   */
  public EncryptCodec(String keyId, byte[] key) {
    this(Map.of(keyId, key), keyId, true, false);
  }

  /**
   * Encrypts with one of several keys.
   *
   * @param keys 32 random bytes by an id of 1 to 64 of {@code [A-Za-z0-9._-]}
   * @param active the key that encrypts
   * @param bindQueue false: operators may move jobs to other queues
   * @param required refuses what is not encrypted: set it once all producers encrypt
   * @throws IllegalArgumentException for keys that cannot be used
   */
  public EncryptCodec(
      Map<String, byte[]> keys, String active, boolean bindQueue, boolean required) {
    keys.forEach((id, key) -> this.keys.put(id, new Key(id, key)));
    if (!this.keys.containsKey(active)) {
      throw new IllegalArgumentException("the active key is not among the keys");
    }
    this.active = active;
    this.bindQueue = bindQueue;
    this.required = required;
  }

  @Override
  public Payload encode(Payload payload, PayloadContext context) {
    int flags = bindQueue ? QUEUE_BOUND : 0;
    byte[] id = active.getBytes(StandardCharsets.US_ASCII);
    ByteString head =
        Envelope.prefix(Envelope.AES_256_GCM)
            .concat(ByteString.copyFrom(new byte[] {(byte) flags, (byte) id.length}))
            .concat(ByteString.copyFrom(id));
    ByteString associated = head.concat(bound(context, flags));
    ByteString content = Envelope.pack(payload);
    Key key = keys.get(active);
    byte[] nonce = key.nonce(associated, ByteString.copyFromUtf8(context.jobId()), content);
    try {
      byte[] sealed =
          key.cipher(Cipher.ENCRYPT_MODE, nonce, associated).doFinal(content.toByteArray());
      return Envelope.enclose(
          head.concat(ByteString.copyFrom(nonce)).concat(ByteString.copyFrom(sealed)));
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException("AES-256-GCM does not work here", error);
    }
  }

  @Override
  public Payload decode(Payload payload, PayloadContext context) {
    if (Envelope.methodOf(payload) != Envelope.AES_256_GCM) {
      if (required && (!payload.data().isEmpty() || context.use() == Use.PAYLOAD)) {
        throw new UndecodableException(
            "NOT_ENCRYPTED", "the " + context.use().word() + " is not encrypted");
      }
      return payload;
    }
    ByteString body = Envelope.bodyOf(payload);
    int end = body.size() > 1 ? 2 + (body.byteAt(1) & 0xFF) : 2;
    if (body.size() < end + NONCE_BYTES + TAG_BYTES || (body.byteAt(0) & ~QUEUE_BOUND) != 0) {
      throw Envelope.corrupt();
    }
    String id = body.substring(2, end).toString(StandardCharsets.ISO_8859_1);
    if (!KEY_ID.matcher(id).matches()) {
      throw Envelope.corrupt();
    }
    Key key = keys.get(id);
    if (key == null) {
      throw new UndecodableException("UNKNOWN_KEY", "there is no key " + id + " here");
    }
    ByteString head = Envelope.prefix(Envelope.AES_256_GCM).concat(body.substring(0, end));
    ByteString associated = head.concat(bound(context, body.byteAt(0)));
    byte[] nonce = body.substring(end, end + NONCE_BYTES).toByteArray();
    try {
      byte[] sealed = body.substring(end + NONCE_BYTES).toByteArray();
      byte[] content = key.cipher(Cipher.DECRYPT_MODE, nonce, associated).doFinal(sealed);
      return Envelope.unpack(ByteString.copyFrom(content));
    } catch (AEADBadTagException error) {
      throw new UndecodableException(
          "NOT_AUTHENTIC",
          "these bytes were changed, or belong to another key, kind, queue or job");
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException("AES-256-GCM does not work here", error);
    }
  }

  /** Returns what the bytes belong to. No name holds a line feed, so no two contexts read alike. */
  private static ByteString bound(PayloadContext context, int flags) {
    boolean isPayload = context.use() == Use.PAYLOAD;
    String queue = isPayload && (flags & QUEUE_BOUND) != 0 ? context.queue() : "";
    String jobId = isPayload ? "" : context.jobId();
    return ByteString.copyFromUtf8(
        String.join("\n", context.use().word(), context.kind(), queue, jobId));
  }

  /** One key: what it encrypts with, and what it makes nonces of. */
  private static final class Key {
    private final SecretKeySpec encrypting;
    private final byte[] nonces;

    Key(String id, byte[] key) {
      if (!KEY_ID.matcher(id).matches()) {
        throw new IllegalArgumentException("an id of a key is 1 to 64 of A-Z a-z 0-9 . _ -");
      }
      if (key.length != KEY_BYTES) {
        throw new IllegalArgumentException("key " + id + " must have " + KEY_BYTES + " bytes");
      }
      encrypting = new SecretKeySpec(expand(key, "protojobs.v1 encrypt"), "AES");
      nonces = expand(key, "protojobs.v1 nonce");
    }

    /** Not random: a repeated dispatch must be the same bytes. */
    byte[] nonce(ByteString associated, ByteString jobId, ByteString content) {
      ByteBuffer sizes =
          ByteBuffer.allocate(8).putInt(associated.size()).putInt(jobId.size()).flip();
      byte[] told =
          ByteString.copyFrom(sizes).concat(associated).concat(jobId).concat(content).toByteArray();
      return java.util.Arrays.copyOf(hmac(nonces, told), NONCE_BYTES);
    }

    Cipher cipher(int mode, byte[] nonce, ByteString associated) throws GeneralSecurityException {
      Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(mode, encrypting, new GCMParameterSpec(TAG_BYTES * 8, nonce));
      cipher.updateAAD(associated.asReadOnlyByteBuffer());
      return cipher;
    }

    /**
     * One block of HKDF-Expand by SHA-256 (RFC 5869); the key is uniformly random, so nothing is
     * extracted.
     */
    private static byte[] expand(byte[] key, String info) {
      return hmac(key, (info + "\u0001").getBytes(StandardCharsets.US_ASCII));
    }

    private static byte[] hmac(byte[] key, byte[] data) {
      try {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(data);
      } catch (GeneralSecurityException error) {
        throw new IllegalStateException("HMAC-SHA256 does not work here", error);
      }
    }
  }
}
