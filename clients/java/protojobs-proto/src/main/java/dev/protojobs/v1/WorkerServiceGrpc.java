package dev.protojobs.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * For workers, and for operators who look at them. Common reasons as in JobService.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class WorkerServiceGrpc {

  private WorkerServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "protojobs.v1.WorkerService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.LeaseRequest,
      dev.protojobs.v1.LeaseResponse> getLeaseMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Lease",
      requestType = dev.protojobs.v1.LeaseRequest.class,
      responseType = dev.protojobs.v1.LeaseResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.LeaseRequest,
      dev.protojobs.v1.LeaseResponse> getLeaseMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.LeaseRequest, dev.protojobs.v1.LeaseResponse> getLeaseMethod;
    if ((getLeaseMethod = WorkerServiceGrpc.getLeaseMethod) == null) {
      synchronized (WorkerServiceGrpc.class) {
        if ((getLeaseMethod = WorkerServiceGrpc.getLeaseMethod) == null) {
          WorkerServiceGrpc.getLeaseMethod = getLeaseMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.LeaseRequest, dev.protojobs.v1.LeaseResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Lease"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.LeaseRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.LeaseResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WorkerServiceMethodDescriptorSupplier("Lease"))
              .build();
        }
      }
    }
    return getLeaseMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.AcquireLeasesRequest,
      dev.protojobs.v1.AcquireLeasesResponse> getAcquireLeasesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "AcquireLeases",
      requestType = dev.protojobs.v1.AcquireLeasesRequest.class,
      responseType = dev.protojobs.v1.AcquireLeasesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.AcquireLeasesRequest,
      dev.protojobs.v1.AcquireLeasesResponse> getAcquireLeasesMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.AcquireLeasesRequest, dev.protojobs.v1.AcquireLeasesResponse> getAcquireLeasesMethod;
    if ((getAcquireLeasesMethod = WorkerServiceGrpc.getAcquireLeasesMethod) == null) {
      synchronized (WorkerServiceGrpc.class) {
        if ((getAcquireLeasesMethod = WorkerServiceGrpc.getAcquireLeasesMethod) == null) {
          WorkerServiceGrpc.getAcquireLeasesMethod = getAcquireLeasesMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.AcquireLeasesRequest, dev.protojobs.v1.AcquireLeasesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "AcquireLeases"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.AcquireLeasesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.AcquireLeasesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WorkerServiceMethodDescriptorSupplier("AcquireLeases"))
              .build();
        }
      }
    }
    return getAcquireLeasesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.SettleLeasesRequest,
      dev.protojobs.v1.SettleLeasesResponse> getSettleLeasesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SettleLeases",
      requestType = dev.protojobs.v1.SettleLeasesRequest.class,
      responseType = dev.protojobs.v1.SettleLeasesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.SettleLeasesRequest,
      dev.protojobs.v1.SettleLeasesResponse> getSettleLeasesMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.SettleLeasesRequest, dev.protojobs.v1.SettleLeasesResponse> getSettleLeasesMethod;
    if ((getSettleLeasesMethod = WorkerServiceGrpc.getSettleLeasesMethod) == null) {
      synchronized (WorkerServiceGrpc.class) {
        if ((getSettleLeasesMethod = WorkerServiceGrpc.getSettleLeasesMethod) == null) {
          WorkerServiceGrpc.getSettleLeasesMethod = getSettleLeasesMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.SettleLeasesRequest, dev.protojobs.v1.SettleLeasesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SettleLeases"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.SettleLeasesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.SettleLeasesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WorkerServiceMethodDescriptorSupplier("SettleLeases"))
              .build();
        }
      }
    }
    return getSettleLeasesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ExtendLeasesRequest,
      dev.protojobs.v1.ExtendLeasesResponse> getExtendLeasesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ExtendLeases",
      requestType = dev.protojobs.v1.ExtendLeasesRequest.class,
      responseType = dev.protojobs.v1.ExtendLeasesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ExtendLeasesRequest,
      dev.protojobs.v1.ExtendLeasesResponse> getExtendLeasesMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ExtendLeasesRequest, dev.protojobs.v1.ExtendLeasesResponse> getExtendLeasesMethod;
    if ((getExtendLeasesMethod = WorkerServiceGrpc.getExtendLeasesMethod) == null) {
      synchronized (WorkerServiceGrpc.class) {
        if ((getExtendLeasesMethod = WorkerServiceGrpc.getExtendLeasesMethod) == null) {
          WorkerServiceGrpc.getExtendLeasesMethod = getExtendLeasesMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ExtendLeasesRequest, dev.protojobs.v1.ExtendLeasesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ExtendLeases"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ExtendLeasesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ExtendLeasesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WorkerServiceMethodDescriptorSupplier("ExtendLeases"))
              .build();
        }
      }
    }
    return getExtendLeasesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ListWorkersRequest,
      dev.protojobs.v1.ListWorkersResponse> getListWorkersMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListWorkers",
      requestType = dev.protojobs.v1.ListWorkersRequest.class,
      responseType = dev.protojobs.v1.ListWorkersResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ListWorkersRequest,
      dev.protojobs.v1.ListWorkersResponse> getListWorkersMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ListWorkersRequest, dev.protojobs.v1.ListWorkersResponse> getListWorkersMethod;
    if ((getListWorkersMethod = WorkerServiceGrpc.getListWorkersMethod) == null) {
      synchronized (WorkerServiceGrpc.class) {
        if ((getListWorkersMethod = WorkerServiceGrpc.getListWorkersMethod) == null) {
          WorkerServiceGrpc.getListWorkersMethod = getListWorkersMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ListWorkersRequest, dev.protojobs.v1.ListWorkersResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListWorkers"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListWorkersRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListWorkersResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WorkerServiceMethodDescriptorSupplier("ListWorkers"))
              .build();
        }
      }
    }
    return getListWorkersMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.DrainWorkerRequest,
      dev.protojobs.v1.DrainWorkerResponse> getDrainWorkerMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DrainWorker",
      requestType = dev.protojobs.v1.DrainWorkerRequest.class,
      responseType = dev.protojobs.v1.DrainWorkerResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.DrainWorkerRequest,
      dev.protojobs.v1.DrainWorkerResponse> getDrainWorkerMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.DrainWorkerRequest, dev.protojobs.v1.DrainWorkerResponse> getDrainWorkerMethod;
    if ((getDrainWorkerMethod = WorkerServiceGrpc.getDrainWorkerMethod) == null) {
      synchronized (WorkerServiceGrpc.class) {
        if ((getDrainWorkerMethod = WorkerServiceGrpc.getDrainWorkerMethod) == null) {
          WorkerServiceGrpc.getDrainWorkerMethod = getDrainWorkerMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.DrainWorkerRequest, dev.protojobs.v1.DrainWorkerResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DrainWorker"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DrainWorkerRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DrainWorkerResponse.getDefaultInstance()))
              .setSchemaDescriptor(new WorkerServiceMethodDescriptorSupplier("DrainWorker"))
              .build();
        }
      }
    }
    return getDrainWorkerMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static WorkerServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WorkerServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WorkerServiceStub>() {
        @java.lang.Override
        public WorkerServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WorkerServiceStub(channel, callOptions);
        }
      };
    return WorkerServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static WorkerServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WorkerServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WorkerServiceBlockingV2Stub>() {
        @java.lang.Override
        public WorkerServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WorkerServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return WorkerServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static WorkerServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WorkerServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WorkerServiceBlockingStub>() {
        @java.lang.Override
        public WorkerServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WorkerServiceBlockingStub(channel, callOptions);
        }
      };
    return WorkerServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static WorkerServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<WorkerServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<WorkerServiceFutureStub>() {
        @java.lang.Override
        public WorkerServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new WorkerServiceFutureStub(channel, callOptions);
        }
      };
    return WorkerServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * For workers, and for operators who look at them. Common reasons as in JobService.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * One stream per worker process for all its queues and kinds. The first frame is Hello.
     * Reasons that end a stream: MALFORMED_MESSAGE, INVALID_FIELD, PROTOCOL_VIOLATION, SESSION_SUPERSEDED, SESSION_CLOSED.
     * </pre>
     */
    default io.grpc.stub.StreamObserver<dev.protojobs.v1.LeaseRequest> lease(
        io.grpc.stub.StreamObserver<dev.protojobs.v1.LeaseResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getLeaseMethod(), responseObserver);
    }

    /**
     * <pre>
     * Waits for jobs, for workers that cannot hold a stream. Idempotent by acquire_seq.
     * Reasons: INVALID_FIELD, SESSION_CLOSED, SESSION_SUPERSEDED.
     * </pre>
     */
    default void acquireLeases(dev.protojobs.v1.AcquireLeasesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.AcquireLeasesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getAcquireLeasesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Settles leases. Idempotent per (job, attempt). Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    default void settleLeases(dev.protojobs.v1.SettleLeasesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.SettleLeasesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSettleLeasesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Keeps the session alive and tells what was cancelled or lost. Idempotent. Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    default void extendLeases(dev.protojobs.v1.ExtendLeasesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ExtendLeasesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getExtendLeasesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns live worker sessions. Reasons: INVALID_FIELD.
     * </pre>
     */
    default void listWorkers(dev.protojobs.v1.ListWorkersRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListWorkersResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListWorkersMethod(), responseObserver);
    }

    /**
     * <pre>
     * Asks a worker to finish and leave. Idempotent. Reasons: INVALID_FIELD, SESSION_NOT_FOUND.
     * </pre>
     */
    default void drainWorker(dev.protojobs.v1.DrainWorkerRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DrainWorkerResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDrainWorkerMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service WorkerService.
   * <pre>
   * For workers, and for operators who look at them. Common reasons as in JobService.
   * </pre>
   */
  public static abstract class WorkerServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return WorkerServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service WorkerService.
   * <pre>
   * For workers, and for operators who look at them. Common reasons as in JobService.
   * </pre>
   */
  public static final class WorkerServiceStub
      extends io.grpc.stub.AbstractAsyncStub<WorkerServiceStub> {
    private WorkerServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WorkerServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WorkerServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * One stream per worker process for all its queues and kinds. The first frame is Hello.
     * Reasons that end a stream: MALFORMED_MESSAGE, INVALID_FIELD, PROTOCOL_VIOLATION, SESSION_SUPERSEDED, SESSION_CLOSED.
     * </pre>
     */
    public io.grpc.stub.StreamObserver<dev.protojobs.v1.LeaseRequest> lease(
        io.grpc.stub.StreamObserver<dev.protojobs.v1.LeaseResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getLeaseMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Waits for jobs, for workers that cannot hold a stream. Idempotent by acquire_seq.
     * Reasons: INVALID_FIELD, SESSION_CLOSED, SESSION_SUPERSEDED.
     * </pre>
     */
    public void acquireLeases(dev.protojobs.v1.AcquireLeasesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.AcquireLeasesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getAcquireLeasesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Settles leases. Idempotent per (job, attempt). Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    public void settleLeases(dev.protojobs.v1.SettleLeasesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.SettleLeasesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getSettleLeasesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Keeps the session alive and tells what was cancelled or lost. Idempotent. Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    public void extendLeases(dev.protojobs.v1.ExtendLeasesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ExtendLeasesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getExtendLeasesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns live worker sessions. Reasons: INVALID_FIELD.
     * </pre>
     */
    public void listWorkers(dev.protojobs.v1.ListWorkersRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListWorkersResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListWorkersMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Asks a worker to finish and leave. Idempotent. Reasons: INVALID_FIELD, SESSION_NOT_FOUND.
     * </pre>
     */
    public void drainWorker(dev.protojobs.v1.DrainWorkerRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DrainWorkerResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDrainWorkerMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service WorkerService.
   * <pre>
   * For workers, and for operators who look at them. Common reasons as in JobService.
   * </pre>
   */
  public static final class WorkerServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<WorkerServiceBlockingV2Stub> {
    private WorkerServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WorkerServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WorkerServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * One stream per worker process for all its queues and kinds. The first frame is Hello.
     * Reasons that end a stream: MALFORMED_MESSAGE, INVALID_FIELD, PROTOCOL_VIOLATION, SESSION_SUPERSEDED, SESSION_CLOSED.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<dev.protojobs.v1.LeaseRequest, dev.protojobs.v1.LeaseResponse>
        lease() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getLeaseMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Waits for jobs, for workers that cannot hold a stream. Idempotent by acquire_seq.
     * Reasons: INVALID_FIELD, SESSION_CLOSED, SESSION_SUPERSEDED.
     * </pre>
     */
    public dev.protojobs.v1.AcquireLeasesResponse acquireLeases(dev.protojobs.v1.AcquireLeasesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getAcquireLeasesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Settles leases. Idempotent per (job, attempt). Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    public dev.protojobs.v1.SettleLeasesResponse settleLeases(dev.protojobs.v1.SettleLeasesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getSettleLeasesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Keeps the session alive and tells what was cancelled or lost. Idempotent. Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    public dev.protojobs.v1.ExtendLeasesResponse extendLeases(dev.protojobs.v1.ExtendLeasesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getExtendLeasesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns live worker sessions. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.ListWorkersResponse listWorkers(dev.protojobs.v1.ListWorkersRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListWorkersMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Asks a worker to finish and leave. Idempotent. Reasons: INVALID_FIELD, SESSION_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.DrainWorkerResponse drainWorker(dev.protojobs.v1.DrainWorkerRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDrainWorkerMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service WorkerService.
   * <pre>
   * For workers, and for operators who look at them. Common reasons as in JobService.
   * </pre>
   */
  public static final class WorkerServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<WorkerServiceBlockingStub> {
    private WorkerServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WorkerServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WorkerServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits for jobs, for workers that cannot hold a stream. Idempotent by acquire_seq.
     * Reasons: INVALID_FIELD, SESSION_CLOSED, SESSION_SUPERSEDED.
     * </pre>
     */
    public dev.protojobs.v1.AcquireLeasesResponse acquireLeases(dev.protojobs.v1.AcquireLeasesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getAcquireLeasesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Settles leases. Idempotent per (job, attempt). Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    public dev.protojobs.v1.SettleLeasesResponse settleLeases(dev.protojobs.v1.SettleLeasesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getSettleLeasesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Keeps the session alive and tells what was cancelled or lost. Idempotent. Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    public dev.protojobs.v1.ExtendLeasesResponse extendLeases(dev.protojobs.v1.ExtendLeasesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getExtendLeasesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns live worker sessions. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.ListWorkersResponse listWorkers(dev.protojobs.v1.ListWorkersRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListWorkersMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Asks a worker to finish and leave. Idempotent. Reasons: INVALID_FIELD, SESSION_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.DrainWorkerResponse drainWorker(dev.protojobs.v1.DrainWorkerRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDrainWorkerMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service WorkerService.
   * <pre>
   * For workers, and for operators who look at them. Common reasons as in JobService.
   * </pre>
   */
  public static final class WorkerServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<WorkerServiceFutureStub> {
    private WorkerServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected WorkerServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new WorkerServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Waits for jobs, for workers that cannot hold a stream. Idempotent by acquire_seq.
     * Reasons: INVALID_FIELD, SESSION_CLOSED, SESSION_SUPERSEDED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.AcquireLeasesResponse> acquireLeases(
        dev.protojobs.v1.AcquireLeasesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getAcquireLeasesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Settles leases. Idempotent per (job, attempt). Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.SettleLeasesResponse> settleLeases(
        dev.protojobs.v1.SettleLeasesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getSettleLeasesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Keeps the session alive and tells what was cancelled or lost. Idempotent. Reasons: INVALID_FIELD, SESSION_CLOSED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ExtendLeasesResponse> extendLeases(
        dev.protojobs.v1.ExtendLeasesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getExtendLeasesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns live worker sessions. Reasons: INVALID_FIELD.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ListWorkersResponse> listWorkers(
        dev.protojobs.v1.ListWorkersRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListWorkersMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Asks a worker to finish and leave. Idempotent. Reasons: INVALID_FIELD, SESSION_NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.DrainWorkerResponse> drainWorker(
        dev.protojobs.v1.DrainWorkerRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDrainWorkerMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_ACQUIRE_LEASES = 0;
  private static final int METHODID_SETTLE_LEASES = 1;
  private static final int METHODID_EXTEND_LEASES = 2;
  private static final int METHODID_LIST_WORKERS = 3;
  private static final int METHODID_DRAIN_WORKER = 4;
  private static final int METHODID_LEASE = 5;

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
        case METHODID_ACQUIRE_LEASES:
          serviceImpl.acquireLeases((dev.protojobs.v1.AcquireLeasesRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.AcquireLeasesResponse>) responseObserver);
          break;
        case METHODID_SETTLE_LEASES:
          serviceImpl.settleLeases((dev.protojobs.v1.SettleLeasesRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.SettleLeasesResponse>) responseObserver);
          break;
        case METHODID_EXTEND_LEASES:
          serviceImpl.extendLeases((dev.protojobs.v1.ExtendLeasesRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ExtendLeasesResponse>) responseObserver);
          break;
        case METHODID_LIST_WORKERS:
          serviceImpl.listWorkers((dev.protojobs.v1.ListWorkersRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ListWorkersResponse>) responseObserver);
          break;
        case METHODID_DRAIN_WORKER:
          serviceImpl.drainWorker((dev.protojobs.v1.DrainWorkerRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.DrainWorkerResponse>) responseObserver);
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
        case METHODID_LEASE:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.lease(
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.LeaseResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getLeaseMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              dev.protojobs.v1.LeaseRequest,
              dev.protojobs.v1.LeaseResponse>(
                service, METHODID_LEASE)))
        .addMethod(
          getAcquireLeasesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.AcquireLeasesRequest,
              dev.protojobs.v1.AcquireLeasesResponse>(
                service, METHODID_ACQUIRE_LEASES)))
        .addMethod(
          getSettleLeasesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.SettleLeasesRequest,
              dev.protojobs.v1.SettleLeasesResponse>(
                service, METHODID_SETTLE_LEASES)))
        .addMethod(
          getExtendLeasesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ExtendLeasesRequest,
              dev.protojobs.v1.ExtendLeasesResponse>(
                service, METHODID_EXTEND_LEASES)))
        .addMethod(
          getListWorkersMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ListWorkersRequest,
              dev.protojobs.v1.ListWorkersResponse>(
                service, METHODID_LIST_WORKERS)))
        .addMethod(
          getDrainWorkerMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.DrainWorkerRequest,
              dev.protojobs.v1.DrainWorkerResponse>(
                service, METHODID_DRAIN_WORKER)))
        .build();
  }

  private static abstract class WorkerServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    WorkerServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.protojobs.v1.WorkerServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("WorkerService");
    }
  }

  private static final class WorkerServiceFileDescriptorSupplier
      extends WorkerServiceBaseDescriptorSupplier {
    WorkerServiceFileDescriptorSupplier() {}
  }

  private static final class WorkerServiceMethodDescriptorSupplier
      extends WorkerServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    WorkerServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (WorkerServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new WorkerServiceFileDescriptorSupplier())
              .addMethod(getLeaseMethod())
              .addMethod(getAcquireLeasesMethod())
              .addMethod(getSettleLeasesMethod())
              .addMethod(getExtendLeasesMethod())
              .addMethod(getListWorkersMethod())
              .addMethod(getDrainWorkerMethod())
              .build();
        }
      }
    }
    return result;
  }
}
