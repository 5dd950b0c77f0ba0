package dev.protojobs.client;

/**
 * Changes payloads, results and checkpoints on their way to the server and back, for example to
 * encrypt them.
 *
 * <p>The same input gives the same output, or a repeated dispatch of one id would look like another
 * job. Results and checkpoints have no stored media type: they reach {@link #decode} as JSON. Must
 * be safe for use by many threads.
 */
public interface PayloadCodec {
  /** Leaves payloads as they are. */
  PayloadCodec PLAIN =
      new PayloadCodec() {
        @Override
        public Payload encode(Payload payload, PayloadContext context) {
          return payload;
        }

        @Override
        public Payload decode(Payload payload, PayloadContext context) {
          return payload;
        }
      };

  /**
   * Returns what the server stores.
   *
   * @param payload what was given to the client or by a handler
   * @param context whose it is
   */
  Payload encode(Payload payload, PayloadContext context);

  /**
   * Undoes {@link #encode}; what it has not made passes unchanged.
   *
   * @param payload what the server has stored
   * @param context whose it is
   * @throws UndecodableException if it cannot be read; the message never holds any of the bytes
   */
  Payload decode(Payload payload, PayloadContext context);

  /**
   * Decodes, and refuses what is an envelope still: NO_CODEC.
   *
   * @param payload what the server has stored
   * @param context whose it is
   * @throws UndecodableException if it cannot be read
   */
  default Payload open(Payload payload, PayloadContext context) {
    Payload decoded = decode(payload, context);
    if (Envelope.methodOf(decoded) != Envelope.NONE) {
      throw new UndecodableException(
          "NO_CODEC", "a codec made these bytes, and none here reads them");
    }
    return decoded;
  }

  /**
   * Returns a codec that encodes by these in order, and decodes in reverse order. Compress before
   * you encrypt: ciphertext does not shrink.
   *
   * @param codecs the parts
   */
  static PayloadCodec chain(PayloadCodec... codecs) {
    PayloadCodec[] parts = codecs.clone();
    return new PayloadCodec() {
      @Override
      public Payload encode(Payload payload, PayloadContext context) {
        Payload made = payload;
        for (PayloadCodec part : parts) {
          made = part.encode(made, context);
        }
        return made;
      }

      @Override
      public Payload decode(Payload payload, PayloadContext context) {
        Payload made = payload;
        for (int index = parts.length - 1; index >= 0; index--) {
          made = parts[index].decode(made, context);
        }
        return made;
      }
    };
  }
}
