package dev.protojobs.client;

/**
 * Whose bytes they are, so that a codec may bind them to it.
 *
 * @param kind which handler runs the job
 * @param queue queue of the job
 * @param use what the bytes are for
 * @param jobId empty for payloads of schedules and follow-ups, whose jobs get their ids from the
 *     server
 */
public record PayloadContext(String kind, String queue, Use use, String jobId) {
  /** What bytes are for. */
  public enum Use {
    /** What a handler is given. */
    PAYLOAD("payload"),
    /** What a handler has returned. */
    RESULT("result"),
    /** What an attempt leaves to the next one. */
    CHECKPOINT("checkpoint");

    private final String word;

    Use(String word) {
      this.word = word;
    }

    /** {@return its name in envelopes} */
    public String word() {
      return word;
    }
  }
}
