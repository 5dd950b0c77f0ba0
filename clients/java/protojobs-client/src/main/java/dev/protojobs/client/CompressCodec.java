package dev.protojobs.client;

import com.google.protobuf.ByteString;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.zip.Deflater;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.GZIPInputStream;
import java.util.zip.Inflater;
import java.util.zip.InflaterInputStream;

/** Compresses by zlib what gets smaller by it; reads zlib and gzip. */
public final class CompressCodec implements PayloadCodec {
  private static final int DEFAULT_MIN_BYTES = 1024;
  private static final int DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
  private static final int LEVEL = 6;

  private final int minBytes;
  private final int maxBytes;

  /** Compresses from 1 KiB on, and unpacks up to 64 MiB. */
  public CompressCodec() {
    this(DEFAULT_MIN_BYTES, DEFAULT_MAX_BYTES);
  }

  /**
   * Sets the bounds.
   *
   * @param minBytes smaller payloads stay as they are
   * @param maxBytes what decoding may unpack, so that no small payload fills the memory: TOO_LARGE
   */
  public CompressCodec(int minBytes, int maxBytes) {
    this.minBytes = minBytes;
    this.maxBytes = maxBytes;
  }

  @Override
  public Payload encode(Payload payload, PayloadContext context) {
    if (payload.data().size() < minBytes) {
      return payload;
    }
    ByteString envelope = Envelope.prefix(Envelope.ZLIB).concat(deflate(Envelope.pack(payload)));
    return envelope.size() < payload.data().size() ? Envelope.enclose(envelope) : payload;
  }

  @Override
  public Payload decode(Payload payload, PayloadContext context) {
    int method = Envelope.methodOf(payload);
    if (method != Envelope.ZLIB && method != Envelope.GZIP) {
      return payload;
    }
    byte[] body = Envelope.bodyOf(payload).toByteArray();
    byte[] content = method == Envelope.ZLIB ? inflate(body) : gunzip(body);
    if (content.length > maxBytes) {
      throw new UndecodableException(
          "TOO_LARGE", "the payload unpacks to more than " + maxBytes + " bytes");
    }
    return Envelope.unpack(ByteString.copyFrom(content));
  }

  private static ByteString deflate(ByteString content) {
    Deflater deflater = new Deflater(LEVEL);
    ByteString.Output packed = ByteString.newOutput();
    try (DeflaterOutputStream out = new DeflaterOutputStream(packed, deflater)) {
      content.writeTo(out);
    } catch (IOException error) {
      throw new UncheckedIOException(error); // memory does not fail
    } finally {
      deflater.end();
    }
    return packed.toByteString();
  }

  private byte[] inflate(byte[] body) {
    Inflater inflater = new Inflater();
    try (InputStream in = new InflaterInputStream(new ByteArrayInputStream(body), inflater)) {
      byte[] content = in.readNBytes(maxBytes + 1);
      // What follows the data was not there when it was packed.
      if (content.length <= maxBytes
          && (!inflater.finished() || inflater.getBytesRead() != body.length)) {
        throw Envelope.corrupt();
      }
      return content;
    } catch (IOException error) {
      throw Envelope.corrupt();
    } finally {
      inflater.end();
    }
  }

  private byte[] gunzip(byte[] body) {
    try (Member in = new Member(body)) {
      byte[] content = in.readNBytes(maxBytes + 1);
      if (content.length <= maxBytes && !in.isWhole()) {
        throw Envelope.corrupt();
      }
      return content;
    } catch (IOException error) {
      throw Envelope.corrupt();
    }
  }

  /**
   * One gzip member, which knows whether anything follows it: Java itself reads on, and ignores
   * what is no member.
   */
  private static final class Member extends GZIPInputStream {
    private static final int HEADER_AND_TRAILER = 18;
    private final byte[] body;

    Member(byte[] body) throws IOException {
      super(new ByteArrayInputStream(body), Math.max(1, body.length));
      this.body = body;
    }

    /** Headers with names or comments are of unknown length; no encoder of ours makes them. */
    boolean isWhole() {
      return body[3] != 0 || inf.getBytesRead() == body.length - HEADER_AND_TRAILER;
    }
  }
}
