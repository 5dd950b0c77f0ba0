package dev.protojobs.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * For operators. Common reasons as in JobService.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class QueueServiceGrpc {

  private QueueServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "protojobs.v1.QueueService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ListQueuesRequest,
      dev.protojobs.v1.ListQueuesResponse> getListQueuesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListQueues",
      requestType = dev.protojobs.v1.ListQueuesRequest.class,
      responseType = dev.protojobs.v1.ListQueuesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ListQueuesRequest,
      dev.protojobs.v1.ListQueuesResponse> getListQueuesMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ListQueuesRequest, dev.protojobs.v1.ListQueuesResponse> getListQueuesMethod;
    if ((getListQueuesMethod = QueueServiceGrpc.getListQueuesMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getListQueuesMethod = QueueServiceGrpc.getListQueuesMethod) == null) {
          QueueServiceGrpc.getListQueuesMethod = getListQueuesMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ListQueuesRequest, dev.protojobs.v1.ListQueuesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListQueues"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListQueuesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListQueuesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("ListQueues"))
              .build();
        }
      }
    }
    return getListQueuesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.GetQueueRequest,
      dev.protojobs.v1.GetQueueResponse> getGetQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetQueue",
      requestType = dev.protojobs.v1.GetQueueRequest.class,
      responseType = dev.protojobs.v1.GetQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.GetQueueRequest,
      dev.protojobs.v1.GetQueueResponse> getGetQueueMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.GetQueueRequest, dev.protojobs.v1.GetQueueResponse> getGetQueueMethod;
    if ((getGetQueueMethod = QueueServiceGrpc.getGetQueueMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getGetQueueMethod = QueueServiceGrpc.getGetQueueMethod) == null) {
          QueueServiceGrpc.getGetQueueMethod = getGetQueueMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.GetQueueRequest, dev.protojobs.v1.GetQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetQueue"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.GetQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.GetQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("GetQueue"))
              .build();
        }
      }
    }
    return getGetQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.UpdateQueueRequest,
      dev.protojobs.v1.UpdateQueueResponse> getUpdateQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateQueue",
      requestType = dev.protojobs.v1.UpdateQueueRequest.class,
      responseType = dev.protojobs.v1.UpdateQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.UpdateQueueRequest,
      dev.protojobs.v1.UpdateQueueResponse> getUpdateQueueMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.UpdateQueueRequest, dev.protojobs.v1.UpdateQueueResponse> getUpdateQueueMethod;
    if ((getUpdateQueueMethod = QueueServiceGrpc.getUpdateQueueMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getUpdateQueueMethod = QueueServiceGrpc.getUpdateQueueMethod) == null) {
          QueueServiceGrpc.getUpdateQueueMethod = getUpdateQueueMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.UpdateQueueRequest, dev.protojobs.v1.UpdateQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.UpdateQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.UpdateQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("UpdateQueue"))
              .build();
        }
      }
    }
    return getUpdateQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteQueueRequest,
      dev.protojobs.v1.DeleteQueueResponse> getDeleteQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteQueue",
      requestType = dev.protojobs.v1.DeleteQueueRequest.class,
      responseType = dev.protojobs.v1.DeleteQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteQueueRequest,
      dev.protojobs.v1.DeleteQueueResponse> getDeleteQueueMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteQueueRequest, dev.protojobs.v1.DeleteQueueResponse> getDeleteQueueMethod;
    if ((getDeleteQueueMethod = QueueServiceGrpc.getDeleteQueueMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getDeleteQueueMethod = QueueServiceGrpc.getDeleteQueueMethod) == null) {
          QueueServiceGrpc.getDeleteQueueMethod = getDeleteQueueMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.DeleteQueueRequest, dev.protojobs.v1.DeleteQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DeleteQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DeleteQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("DeleteQueue"))
              .build();
        }
      }
    }
    return getDeleteQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.PauseQueueRequest,
      dev.protojobs.v1.PauseQueueResponse> getPauseQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "PauseQueue",
      requestType = dev.protojobs.v1.PauseQueueRequest.class,
      responseType = dev.protojobs.v1.PauseQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.PauseQueueRequest,
      dev.protojobs.v1.PauseQueueResponse> getPauseQueueMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.PauseQueueRequest, dev.protojobs.v1.PauseQueueResponse> getPauseQueueMethod;
    if ((getPauseQueueMethod = QueueServiceGrpc.getPauseQueueMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getPauseQueueMethod = QueueServiceGrpc.getPauseQueueMethod) == null) {
          QueueServiceGrpc.getPauseQueueMethod = getPauseQueueMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.PauseQueueRequest, dev.protojobs.v1.PauseQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "PauseQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.PauseQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.PauseQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("PauseQueue"))
              .build();
        }
      }
    }
    return getPauseQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ResumeQueueRequest,
      dev.protojobs.v1.ResumeQueueResponse> getResumeQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ResumeQueue",
      requestType = dev.protojobs.v1.ResumeQueueRequest.class,
      responseType = dev.protojobs.v1.ResumeQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ResumeQueueRequest,
      dev.protojobs.v1.ResumeQueueResponse> getResumeQueueMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ResumeQueueRequest, dev.protojobs.v1.ResumeQueueResponse> getResumeQueueMethod;
    if ((getResumeQueueMethod = QueueServiceGrpc.getResumeQueueMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getResumeQueueMethod = QueueServiceGrpc.getResumeQueueMethod) == null) {
          QueueServiceGrpc.getResumeQueueMethod = getResumeQueueMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ResumeQueueRequest, dev.protojobs.v1.ResumeQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ResumeQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ResumeQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ResumeQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("ResumeQueue"))
              .build();
        }
      }
    }
    return getResumeQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ClearQueueRequest,
      dev.protojobs.v1.ClearQueueResponse> getClearQueueMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ClearQueue",
      requestType = dev.protojobs.v1.ClearQueueRequest.class,
      responseType = dev.protojobs.v1.ClearQueueResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ClearQueueRequest,
      dev.protojobs.v1.ClearQueueResponse> getClearQueueMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ClearQueueRequest, dev.protojobs.v1.ClearQueueResponse> getClearQueueMethod;
    if ((getClearQueueMethod = QueueServiceGrpc.getClearQueueMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getClearQueueMethod = QueueServiceGrpc.getClearQueueMethod) == null) {
          QueueServiceGrpc.getClearQueueMethod = getClearQueueMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ClearQueueRequest, dev.protojobs.v1.ClearQueueResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ClearQueue"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ClearQueueRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ClearQueueResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("ClearQueue"))
              .build();
        }
      }
    }
    return getClearQueueMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.StatsRequest,
      dev.protojobs.v1.StatsResponse> getStatsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Stats",
      requestType = dev.protojobs.v1.StatsRequest.class,
      responseType = dev.protojobs.v1.StatsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.StatsRequest,
      dev.protojobs.v1.StatsResponse> getStatsMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.StatsRequest, dev.protojobs.v1.StatsResponse> getStatsMethod;
    if ((getStatsMethod = QueueServiceGrpc.getStatsMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getStatsMethod = QueueServiceGrpc.getStatsMethod) == null) {
          QueueServiceGrpc.getStatsMethod = getStatsMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.StatsRequest, dev.protojobs.v1.StatsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Stats"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.StatsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.StatsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("Stats"))
              .build();
        }
      }
    }
    return getStatsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.WatchStatsRequest,
      dev.protojobs.v1.WatchStatsResponse> getWatchStatsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WatchStats",
      requestType = dev.protojobs.v1.WatchStatsRequest.class,
      responseType = dev.protojobs.v1.WatchStatsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.WatchStatsRequest,
      dev.protojobs.v1.WatchStatsResponse> getWatchStatsMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.WatchStatsRequest, dev.protojobs.v1.WatchStatsResponse> getWatchStatsMethod;
    if ((getWatchStatsMethod = QueueServiceGrpc.getWatchStatsMethod) == null) {
      synchronized (QueueServiceGrpc.class) {
        if ((getWatchStatsMethod = QueueServiceGrpc.getWatchStatsMethod) == null) {
          QueueServiceGrpc.getWatchStatsMethod = getWatchStatsMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.WatchStatsRequest, dev.protojobs.v1.WatchStatsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WatchStats"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.WatchStatsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.WatchStatsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new QueueServiceMethodDescriptorSupplier("WatchStats"))
              .build();
        }
      }
    }
    return getWatchStatsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static QueueServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueueServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueueServiceStub>() {
        @java.lang.Override
        public QueueServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueueServiceStub(channel, callOptions);
        }
      };
    return QueueServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static QueueServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueueServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueueServiceBlockingV2Stub>() {
        @java.lang.Override
        public QueueServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueueServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return QueueServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static QueueServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueueServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueueServiceBlockingStub>() {
        @java.lang.Override
        public QueueServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueueServiceBlockingStub(channel, callOptions);
        }
      };
    return QueueServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static QueueServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<QueueServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<QueueServiceFutureStub>() {
        @java.lang.Override
        public QueueServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new QueueServiceFutureStub(channel, callOptions);
        }
      };
    return QueueServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * For operators. Common reasons as in JobService.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Returns queues by name. Reasons: INVALID_FIELD.
     * </pre>
     */
    default void listQueues(dev.protojobs.v1.ListQueuesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListQueuesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListQueuesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns one queue. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    default void getQueue(dev.protojobs.v1.GetQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.GetQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Changes settings, and makes the queue if it is new. Idempotent. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void updateQueue(dev.protojobs.v1.UpdateQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.UpdateQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Removes a queue without jobs, or with force its waiting and final jobs too. Idempotent.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, QUEUE_NOT_EMPTY, JOB_RUNNING.
     * </pre>
     */
    default void deleteQueue(dev.protojobs.v1.DeleteQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Stops leasing from a queue; running jobs go on. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    default void pauseQueue(dev.protojobs.v1.PauseQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.PauseQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPauseQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Leases from a queue again. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    default void resumeQueue(dev.protojobs.v1.ResumeQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ResumeQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getResumeQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Deletes jobs of a queue in bounded steps. Idempotent. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    default void clearQueue(dev.protojobs.v1.ClearQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ClearQueueResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getClearQueueMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns numbers of one queue or of all, from counters. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    default void stats(dev.protojobs.v1.StatsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.StatsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getStatsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Streams Stats, at once and then at the interval. Ends with OK when the server leaves: call again.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void watchStats(dev.protojobs.v1.WatchStatsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.WatchStatsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWatchStatsMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service QueueService.
   * <pre>
   * For operators. Common reasons as in JobService.
   * </pre>
   */
  public static abstract class QueueServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return QueueServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service QueueService.
   * <pre>
   * For operators. Common reasons as in JobService.
   * </pre>
   */
  public static final class QueueServiceStub
      extends io.grpc.stub.AbstractAsyncStub<QueueServiceStub> {
    private QueueServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueueServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueueServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns queues by name. Reasons: INVALID_FIELD.
     * </pre>
     */
    public void listQueues(dev.protojobs.v1.ListQueuesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListQueuesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListQueuesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns one queue. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public void getQueue(dev.protojobs.v1.GetQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.GetQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Changes settings, and makes the queue if it is new. Idempotent. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void updateQueue(dev.protojobs.v1.UpdateQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.UpdateQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Removes a queue without jobs, or with force its waiting and final jobs too. Idempotent.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, QUEUE_NOT_EMPTY, JOB_RUNNING.
     * </pre>
     */
    public void deleteQueue(dev.protojobs.v1.DeleteQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Stops leasing from a queue; running jobs go on. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    public void pauseQueue(dev.protojobs.v1.PauseQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.PauseQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPauseQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Leases from a queue again. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    public void resumeQueue(dev.protojobs.v1.ResumeQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ResumeQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getResumeQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Deletes jobs of a queue in bounded steps. Idempotent. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public void clearQueue(dev.protojobs.v1.ClearQueueRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ClearQueueResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getClearQueueMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns numbers of one queue or of all, from counters. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public void stats(dev.protojobs.v1.StatsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.StatsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getStatsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Streams Stats, at once and then at the interval. Ends with OK when the server leaves: call again.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void watchStats(dev.protojobs.v1.WatchStatsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.WatchStatsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getWatchStatsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service QueueService.
   * <pre>
   * For operators. Common reasons as in JobService.
   * </pre>
   */
  public static final class QueueServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<QueueServiceBlockingV2Stub> {
    private QueueServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueueServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueueServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns queues by name. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.ListQueuesResponse listQueues(dev.protojobs.v1.ListQueuesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListQueuesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns one queue. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.GetQueueResponse getQueue(dev.protojobs.v1.GetQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes settings, and makes the queue if it is new. Idempotent. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.UpdateQueueResponse updateQueue(dev.protojobs.v1.UpdateQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a queue without jobs, or with force its waiting and final jobs too. Idempotent.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, QUEUE_NOT_EMPTY, JOB_RUNNING.
     * </pre>
     */
    public dev.protojobs.v1.DeleteQueueResponse deleteQueue(dev.protojobs.v1.DeleteQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stops leasing from a queue; running jobs go on. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.PauseQueueResponse pauseQueue(dev.protojobs.v1.PauseQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPauseQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Leases from a queue again. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.ResumeQueueResponse resumeQueue(dev.protojobs.v1.ResumeQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getResumeQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes jobs of a queue in bounded steps. Idempotent. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.ClearQueueResponse clearQueue(dev.protojobs.v1.ClearQueueRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getClearQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns numbers of one queue or of all, from counters. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.StatsResponse stats(dev.protojobs.v1.StatsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getStatsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Streams Stats, at once and then at the interval. Ends with OK when the server leaves: call again.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.protojobs.v1.WatchStatsResponse>
        watchStats(dev.protojobs.v1.WatchStatsRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getWatchStatsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service QueueService.
   * <pre>
   * For operators. Common reasons as in JobService.
   * </pre>
   */
  public static final class QueueServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<QueueServiceBlockingStub> {
    private QueueServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueueServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueueServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns queues by name. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.ListQueuesResponse listQueues(dev.protojobs.v1.ListQueuesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListQueuesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns one queue. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.GetQueueResponse getQueue(dev.protojobs.v1.GetQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes settings, and makes the queue if it is new. Idempotent. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.UpdateQueueResponse updateQueue(dev.protojobs.v1.UpdateQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a queue without jobs, or with force its waiting and final jobs too. Idempotent.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, QUEUE_NOT_EMPTY, JOB_RUNNING.
     * </pre>
     */
    public dev.protojobs.v1.DeleteQueueResponse deleteQueue(dev.protojobs.v1.DeleteQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stops leasing from a queue; running jobs go on. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.PauseQueueResponse pauseQueue(dev.protojobs.v1.PauseQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPauseQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Leases from a queue again. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.ResumeQueueResponse resumeQueue(dev.protojobs.v1.ResumeQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getResumeQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Deletes jobs of a queue in bounded steps. Idempotent. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.ClearQueueResponse clearQueue(dev.protojobs.v1.ClearQueueRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getClearQueueMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns numbers of one queue or of all, from counters. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.StatsResponse stats(dev.protojobs.v1.StatsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getStatsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Streams Stats, at once and then at the interval. Ends with OK when the server leaves: call again.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public java.util.Iterator<dev.protojobs.v1.WatchStatsResponse> watchStats(
        dev.protojobs.v1.WatchStatsRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getWatchStatsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service QueueService.
   * <pre>
   * For operators. Common reasons as in JobService.
   * </pre>
   */
  public static final class QueueServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<QueueServiceFutureStub> {
    private QueueServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected QueueServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new QueueServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Returns queues by name. Reasons: INVALID_FIELD.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ListQueuesResponse> listQueues(
        dev.protojobs.v1.ListQueuesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListQueuesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns one queue. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.GetQueueResponse> getQueue(
        dev.protojobs.v1.GetQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Changes settings, and makes the queue if it is new. Idempotent. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.UpdateQueueResponse> updateQueue(
        dev.protojobs.v1.UpdateQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Removes a queue without jobs, or with force its waiting and final jobs too. Idempotent.
     * Reasons: INVALID_FIELD, QUEUE_NOT_FOUND, QUEUE_NOT_EMPTY, JOB_RUNNING.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.DeleteQueueResponse> deleteQueue(
        dev.protojobs.v1.DeleteQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Stops leasing from a queue; running jobs go on. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.PauseQueueResponse> pauseQueue(
        dev.protojobs.v1.PauseQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPauseQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Leases from a queue again. Idempotent. Reasons: INVALID_FIELD.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ResumeQueueResponse> resumeQueue(
        dev.protojobs.v1.ResumeQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getResumeQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Deletes jobs of a queue in bounded steps. Idempotent. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ClearQueueResponse> clearQueue(
        dev.protojobs.v1.ClearQueueRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getClearQueueMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns numbers of one queue or of all, from counters. Reasons: INVALID_FIELD, QUEUE_NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.StatsResponse> stats(
        dev.protojobs.v1.StatsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getStatsMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_LIST_QUEUES = 0;
  private static final int METHODID_GET_QUEUE = 1;
  private static final int METHODID_UPDATE_QUEUE = 2;
  private static final int METHODID_DELETE_QUEUE = 3;
  private static final int METHODID_PAUSE_QUEUE = 4;
  private static final int METHODID_RESUME_QUEUE = 5;
  private static final int METHODID_CLEAR_QUEUE = 6;
  private static final int METHODID_STATS = 7;
  private static final int METHODID_WATCH_STATS = 8;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_LIST_QUEUES:
          serviceImpl.listQueues((dev.protojobs.v1.ListQueuesRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ListQueuesResponse>) responseObserver);
          break;
        case METHODID_GET_QUEUE:
          serviceImpl.getQueue((dev.protojobs.v1.GetQueueRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.GetQueueResponse>) responseObserver);
          break;
        case METHODID_UPDATE_QUEUE:
          serviceImpl.updateQueue((dev.protojobs.v1.UpdateQueueRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.UpdateQueueResponse>) responseObserver);
          break;
        case METHODID_DELETE_QUEUE:
          serviceImpl.deleteQueue((dev.protojobs.v1.DeleteQueueRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteQueueResponse>) responseObserver);
          break;
        case METHODID_PAUSE_QUEUE:
          serviceImpl.pauseQueue((dev.protojobs.v1.PauseQueueRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.PauseQueueResponse>) responseObserver);
          break;
        case METHODID_RESUME_QUEUE:
          serviceImpl.resumeQueue((dev.protojobs.v1.ResumeQueueRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ResumeQueueResponse>) responseObserver);
          break;
        case METHODID_CLEAR_QUEUE:
          serviceImpl.clearQueue((dev.protojobs.v1.ClearQueueRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ClearQueueResponse>) responseObserver);
          break;
        case METHODID_STATS:
          serviceImpl.stats((dev.protojobs.v1.StatsRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.StatsResponse>) responseObserver);
          break;
        case METHODID_WATCH_STATS:
          serviceImpl.watchStats((dev.protojobs.v1.WatchStatsRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.WatchStatsResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getListQueuesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ListQueuesRequest,
              dev.protojobs.v1.ListQueuesResponse>(
                service, METHODID_LIST_QUEUES)))
        .addMethod(
          getGetQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.GetQueueRequest,
              dev.protojobs.v1.GetQueueResponse>(
                service, METHODID_GET_QUEUE)))
        .addMethod(
          getUpdateQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.UpdateQueueRequest,
              dev.protojobs.v1.UpdateQueueResponse>(
                service, METHODID_UPDATE_QUEUE)))
        .addMethod(
          getDeleteQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.DeleteQueueRequest,
              dev.protojobs.v1.DeleteQueueResponse>(
                service, METHODID_DELETE_QUEUE)))
        .addMethod(
          getPauseQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.PauseQueueRequest,
              dev.protojobs.v1.PauseQueueResponse>(
                service, METHODID_PAUSE_QUEUE)))
        .addMethod(
          getResumeQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ResumeQueueRequest,
              dev.protojobs.v1.ResumeQueueResponse>(
                service, METHODID_RESUME_QUEUE)))
        .addMethod(
          getClearQueueMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ClearQueueRequest,
              dev.protojobs.v1.ClearQueueResponse>(
                service, METHODID_CLEAR_QUEUE)))
        .addMethod(
          getStatsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.StatsRequest,
              dev.protojobs.v1.StatsResponse>(
                service, METHODID_STATS)))
        .addMethod(
          getWatchStatsMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.protojobs.v1.WatchStatsRequest,
              dev.protojobs.v1.WatchStatsResponse>(
                service, METHODID_WATCH_STATS)))
        .build();
  }

  private static abstract class QueueServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    QueueServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.protojobs.v1.QueueServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("QueueService");
    }
  }

  private static final class QueueServiceFileDescriptorSupplier
      extends QueueServiceBaseDescriptorSupplier {
    QueueServiceFileDescriptorSupplier() {}
  }

  private static final class QueueServiceMethodDescriptorSupplier
      extends QueueServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    QueueServiceMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (QueueServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new QueueServiceFileDescriptorSupplier())
              .addMethod(getListQueuesMethod())
              .addMethod(getGetQueueMethod())
              .addMethod(getUpdateQueueMethod())
              .addMethod(getDeleteQueueMethod())
              .addMethod(getPauseQueueMethod())
              .addMethod(getResumeQueueMethod())
              .addMethod(getClearQueueMethod())
              .addMethod(getStatsMethod())
              .addMethod(getWatchStatsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
