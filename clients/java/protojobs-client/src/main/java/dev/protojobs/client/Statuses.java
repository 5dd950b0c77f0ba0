package dev.protojobs.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.protojobs.client.ProtoJobsException.Details;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** From what gRPC and the server say to the errors of the client. */
final class Statuses {
  static final String DOMAIN = "protojobs.dev";

  private Statuses() {}

  static ProtoJobsException translate(Throwable error) {
    if (error instanceof ProtoJobsException known) {
      return known;
    }
    ProtoJobsException told;
    if (error instanceof StatusRuntimeException status) {
      told = translate(status.getStatus(), status.getTrailers());
    } else if (error instanceof StatusException status) {
      told = translate(status.getStatus(), status.getTrailers());
    } else {
      told = new ProtoJobsException(String.valueOf(error));
    }
    told.initCause(error);
    return told;
  }

  private static ProtoJobsException translate(Status status, Metadata trailers) {
    com.google.rpc.Status details =
        trailers == null ? null : StatusProto.fromStatusAndTrailers(status, trailers);
    if (details != null && details.getDetailsCount() > 0) {
      return fromStatus(details);
    }
    Status.Code code = isLostConnection(status) ? Status.Code.UNAVAILABLE : status.getCode();
    return make(text(status), Details.of(code));
  }

  /** Returns the error of an item of a batch or stream. */
  static ProtoJobsException fromStatus(com.google.rpc.Status status) {
    ErrorInfo info = ErrorInfo.getDefaultInstance();
    List<FieldViolation> violations = new ArrayList<>();
    Duration retryDelay = null;
    for (Any detail : status.getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class)) {
          info = detail.unpack(ErrorInfo.class);
        } else if (detail.is(BadRequest.class)) {
          for (BadRequest.FieldViolation each :
              detail.unpack(BadRequest.class).getFieldViolationsList()) {
            violations.add(new FieldViolation(each.getField(), each.getDescription()));
          }
        } else if (detail.is(RetryInfo.class)) {
          retryDelay = Times.read(detail.unpack(RetryInfo.class).getRetryDelay());
        }
      } catch (InvalidProtocolBufferException ignored) {
        // A detail of a later version; code and message stand.
      }
    }
    boolean ours = info.getDomain().equals(DOMAIN);
    Status.Code code = Status.fromCodeValue(status.getCode()).getCode();
    String message = status.getMessage().isEmpty() ? info.getReason() : status.getMessage();
    return make(
        message,
        new Details(
            code,
            ours ? info.getReason() : "",
            ours ? Map.copyOf(info.getMetadataMap()) : Map.of(),
            List.copyOf(violations),
            retryDelay));
  }

  private static ProtoJobsException make(String message, Details details) {
    return switch (details.code()) {
      case INVALID_ARGUMENT -> new InvalidArgumentException(message, details);
      case NOT_FOUND -> new NotFoundException(message, details);
      case ALREADY_EXISTS -> new AlreadyExistsException(message, details);
      case FAILED_PRECONDITION -> new FailedPreconditionException(message, details);
      case RESOURCE_EXHAUSTED -> new ResourceExhaustedException(message, details);
      case UNAVAILABLE -> new UnavailableException(message, details);
      case DEADLINE_EXCEEDED -> new DeadlineExceededException(message, details);
      case UNAUTHENTICATED -> new UnauthenticatedException(message, details);
      case PERMISSION_DENIED -> new PermissionDeniedException(message, details);
      case UNIMPLEMENTED -> new UnsupportedException(message, details);
      default -> new ProtoJobsException(message, details);
    };
  }

  /**
   * Recognises what gRPC says without details from our server, which never answers these codes so
   * barely.
   */
  private static boolean isLostConnection(Status status) {
    String text = String.valueOf(status.getDescription());
    return switch (status.getCode()) {
      case CANCELLED -> true;
      case INTERNAL, UNKNOWN -> text.contains("RST_STREAM") || text.contains("Stream removed");
      default -> false;
    };
  }

  private static String text(Status status) {
    String told =
        status.getDescription() == null ? status.getCode().name() : status.getDescription();
    // What went wrong with a connection stands in the cause alone.
    return status.getCause() == null ? told : told + ": " + status.getCause().getMessage();
  }
}
