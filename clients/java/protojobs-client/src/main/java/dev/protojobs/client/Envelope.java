package dev.protojobs.client;

import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/**
 * The envelope around bytes that a codec has made. docs/protocol.md is its definition; these are
 * the layouts.
 *
 * <pre>
 * envelope    magic(4) = F5 50 4A 01 | method(1) | what the method makes of content
 * content     length(1) | media type | data
 * </pre>
 *
 * The first byte is in no UTF-8 text, so no JSON and no text is taken for an envelope.
 */
final class Envelope {
  static final int ZLIB = 1;
  static final int GZIP = 2;
  static final int AES_256_GCM = 3;

  /** What {@link #methodOf} says of bytes that are no envelope. */
  static final int NONE = 0;

  private static final ByteString MAGIC =
      ByteString.copyFrom(new byte[] {(byte) 0xF5, 0x50, 0x4A, 0x01});
  private static final int PREFIX_BYTES = 5;

  private Envelope() {}

  /** Puts media type and data together. */
  static ByteString pack(Payload payload) {
    ByteString type = ByteString.copyFromUtf8(payload.contentType());
    if (type.size() > 255) {
      throw new IllegalArgumentException("a media type has at most 128 bytes");
    }
    return ByteString.copyFrom(new byte[] {(byte) type.size()}).concat(type).concat(payload.data());
  }

  static Payload unpack(ByteString content) {
    int end = content.isEmpty() ? 1 : 1 + (content.byteAt(0) & 0xFF);
    if (content.size() < end) {
      throw corrupt();
    }
    try {
      ByteBuffer type = content.substring(1, end).asReadOnlyByteBuffer();
      return new Payload(
          content.substring(end), StandardCharsets.UTF_8.newDecoder().decode(type).toString());
    } catch (CharacterCodingException error) {
      throw corrupt();
    }
  }

  /** Returns how an envelope of this method begins. */
  static ByteString prefix(int method) {
    return MAGIC.concat(ByteString.copyFrom(new byte[] {(byte) method}));
  }

  static Payload enclose(ByteString envelope) {
    return new Payload(envelope, Payload.ENVELOPE);
  }

  /**
   * The media type tells. Results and checkpoints come as JSON, which no envelope is: there the
   * first bytes tell.
   */
  static int methodOf(Payload payload) {
    String type = payload.contentType();
    boolean marked = type.equals(Payload.ENVELOPE);
    ByteString data = payload.data();
    if (data.size() >= PREFIX_BYTES
        && data.startsWith(MAGIC)
        && (marked || type.equals(Payload.JSON) || type.isEmpty())) {
      return data.byteAt(PREFIX_BYTES - 1) & 0xFF;
    }
    if (marked) {
      throw corrupt();
    }
    return NONE;
  }

  static ByteString bodyOf(Payload payload) {
    return payload.data().substring(PREFIX_BYTES);
  }

  static UndecodableException corrupt() {
    return new UndecodableException("CORRUPT", "the envelope is damaged");
  }
}
