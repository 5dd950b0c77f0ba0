package dev.protojobs.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * For producers and operators. Common reasons as in JobService.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class ScheduleServiceGrpc {

  private ScheduleServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "protojobs.v1.ScheduleService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ScheduleRequest,
      dev.protojobs.v1.ScheduleResponse> getScheduleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Schedule",
      requestType = dev.protojobs.v1.ScheduleRequest.class,
      responseType = dev.protojobs.v1.ScheduleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ScheduleRequest,
      dev.protojobs.v1.ScheduleResponse> getScheduleMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ScheduleRequest, dev.protojobs.v1.ScheduleResponse> getScheduleMethod;
    if ((getScheduleMethod = ScheduleServiceGrpc.getScheduleMethod) == null) {
      synchronized (ScheduleServiceGrpc.class) {
        if ((getScheduleMethod = ScheduleServiceGrpc.getScheduleMethod) == null) {
          ScheduleServiceGrpc.getScheduleMethod = getScheduleMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ScheduleRequest, dev.protojobs.v1.ScheduleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Schedule"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ScheduleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ScheduleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ScheduleServiceMethodDescriptorSupplier("Schedule"))
              .build();
        }
      }
    }
    return getScheduleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.GetScheduleRequest,
      dev.protojobs.v1.GetScheduleResponse> getGetScheduleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetSchedule",
      requestType = dev.protojobs.v1.GetScheduleRequest.class,
      responseType = dev.protojobs.v1.GetScheduleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.GetScheduleRequest,
      dev.protojobs.v1.GetScheduleResponse> getGetScheduleMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.GetScheduleRequest, dev.protojobs.v1.GetScheduleResponse> getGetScheduleMethod;
    if ((getGetScheduleMethod = ScheduleServiceGrpc.getGetScheduleMethod) == null) {
      synchronized (ScheduleServiceGrpc.class) {
        if ((getGetScheduleMethod = ScheduleServiceGrpc.getGetScheduleMethod) == null) {
          ScheduleServiceGrpc.getGetScheduleMethod = getGetScheduleMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.GetScheduleRequest, dev.protojobs.v1.GetScheduleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetSchedule"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.GetScheduleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.GetScheduleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ScheduleServiceMethodDescriptorSupplier("GetSchedule"))
              .build();
        }
      }
    }
    return getGetScheduleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ListSchedulesRequest,
      dev.protojobs.v1.ListSchedulesResponse> getListSchedulesMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListSchedules",
      requestType = dev.protojobs.v1.ListSchedulesRequest.class,
      responseType = dev.protojobs.v1.ListSchedulesResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ListSchedulesRequest,
      dev.protojobs.v1.ListSchedulesResponse> getListSchedulesMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ListSchedulesRequest, dev.protojobs.v1.ListSchedulesResponse> getListSchedulesMethod;
    if ((getListSchedulesMethod = ScheduleServiceGrpc.getListSchedulesMethod) == null) {
      synchronized (ScheduleServiceGrpc.class) {
        if ((getListSchedulesMethod = ScheduleServiceGrpc.getListSchedulesMethod) == null) {
          ScheduleServiceGrpc.getListSchedulesMethod = getListSchedulesMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ListSchedulesRequest, dev.protojobs.v1.ListSchedulesResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListSchedules"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListSchedulesRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListSchedulesResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ScheduleServiceMethodDescriptorSupplier("ListSchedules"))
              .build();
        }
      }
    }
    return getListSchedulesMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteScheduleRequest,
      dev.protojobs.v1.DeleteScheduleResponse> getDeleteScheduleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteSchedule",
      requestType = dev.protojobs.v1.DeleteScheduleRequest.class,
      responseType = dev.protojobs.v1.DeleteScheduleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteScheduleRequest,
      dev.protojobs.v1.DeleteScheduleResponse> getDeleteScheduleMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteScheduleRequest, dev.protojobs.v1.DeleteScheduleResponse> getDeleteScheduleMethod;
    if ((getDeleteScheduleMethod = ScheduleServiceGrpc.getDeleteScheduleMethod) == null) {
      synchronized (ScheduleServiceGrpc.class) {
        if ((getDeleteScheduleMethod = ScheduleServiceGrpc.getDeleteScheduleMethod) == null) {
          ScheduleServiceGrpc.getDeleteScheduleMethod = getDeleteScheduleMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.DeleteScheduleRequest, dev.protojobs.v1.DeleteScheduleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteSchedule"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DeleteScheduleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DeleteScheduleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ScheduleServiceMethodDescriptorSupplier("DeleteSchedule"))
              .build();
        }
      }
    }
    return getDeleteScheduleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.PauseScheduleRequest,
      dev.protojobs.v1.PauseScheduleResponse> getPauseScheduleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "PauseSchedule",
      requestType = dev.protojobs.v1.PauseScheduleRequest.class,
      responseType = dev.protojobs.v1.PauseScheduleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.PauseScheduleRequest,
      dev.protojobs.v1.PauseScheduleResponse> getPauseScheduleMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.PauseScheduleRequest, dev.protojobs.v1.PauseScheduleResponse> getPauseScheduleMethod;
    if ((getPauseScheduleMethod = ScheduleServiceGrpc.getPauseScheduleMethod) == null) {
      synchronized (ScheduleServiceGrpc.class) {
        if ((getPauseScheduleMethod = ScheduleServiceGrpc.getPauseScheduleMethod) == null) {
          ScheduleServiceGrpc.getPauseScheduleMethod = getPauseScheduleMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.PauseScheduleRequest, dev.protojobs.v1.PauseScheduleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "PauseSchedule"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.PauseScheduleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.PauseScheduleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ScheduleServiceMethodDescriptorSupplier("PauseSchedule"))
              .build();
        }
      }
    }
    return getPauseScheduleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ResumeScheduleRequest,
      dev.protojobs.v1.ResumeScheduleResponse> getResumeScheduleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ResumeSchedule",
      requestType = dev.protojobs.v1.ResumeScheduleRequest.class,
      responseType = dev.protojobs.v1.ResumeScheduleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ResumeScheduleRequest,
      dev.protojobs.v1.ResumeScheduleResponse> getResumeScheduleMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ResumeScheduleRequest, dev.protojobs.v1.ResumeScheduleResponse> getResumeScheduleMethod;
    if ((getResumeScheduleMethod = ScheduleServiceGrpc.getResumeScheduleMethod) == null) {
      synchronized (ScheduleServiceGrpc.class) {
        if ((getResumeScheduleMethod = ScheduleServiceGrpc.getResumeScheduleMethod) == null) {
          ScheduleServiceGrpc.getResumeScheduleMethod = getResumeScheduleMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ResumeScheduleRequest, dev.protojobs.v1.ResumeScheduleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ResumeSchedule"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ResumeScheduleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ResumeScheduleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ScheduleServiceMethodDescriptorSupplier("ResumeSchedule"))
              .build();
        }
      }
    }
    return getResumeScheduleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.TriggerScheduleRequest,
      dev.protojobs.v1.TriggerScheduleResponse> getTriggerScheduleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "TriggerSchedule",
      requestType = dev.protojobs.v1.TriggerScheduleRequest.class,
      responseType = dev.protojobs.v1.TriggerScheduleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.TriggerScheduleRequest,
      dev.protojobs.v1.TriggerScheduleResponse> getTriggerScheduleMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.TriggerScheduleRequest, dev.protojobs.v1.TriggerScheduleResponse> getTriggerScheduleMethod;
    if ((getTriggerScheduleMethod = ScheduleServiceGrpc.getTriggerScheduleMethod) == null) {
      synchronized (ScheduleServiceGrpc.class) {
        if ((getTriggerScheduleMethod = ScheduleServiceGrpc.getTriggerScheduleMethod) == null) {
          ScheduleServiceGrpc.getTriggerScheduleMethod = getTriggerScheduleMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.TriggerScheduleRequest, dev.protojobs.v1.TriggerScheduleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "TriggerSchedule"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.TriggerScheduleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.TriggerScheduleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ScheduleServiceMethodDescriptorSupplier("TriggerSchedule"))
              .build();
        }
      }
    }
    return getTriggerScheduleMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.PreviewScheduleRequest,
      dev.protojobs.v1.PreviewScheduleResponse> getPreviewScheduleMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "PreviewSchedule",
      requestType = dev.protojobs.v1.PreviewScheduleRequest.class,
      responseType = dev.protojobs.v1.PreviewScheduleResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.PreviewScheduleRequest,
      dev.protojobs.v1.PreviewScheduleResponse> getPreviewScheduleMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.PreviewScheduleRequest, dev.protojobs.v1.PreviewScheduleResponse> getPreviewScheduleMethod;
    if ((getPreviewScheduleMethod = ScheduleServiceGrpc.getPreviewScheduleMethod) == null) {
      synchronized (ScheduleServiceGrpc.class) {
        if ((getPreviewScheduleMethod = ScheduleServiceGrpc.getPreviewScheduleMethod) == null) {
          ScheduleServiceGrpc.getPreviewScheduleMethod = getPreviewScheduleMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.PreviewScheduleRequest, dev.protojobs.v1.PreviewScheduleResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "PreviewSchedule"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.PreviewScheduleRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.PreviewScheduleResponse.getDefaultInstance()))
              .setSchemaDescriptor(new ScheduleServiceMethodDescriptorSupplier("PreviewSchedule"))
              .build();
        }
      }
    }
    return getPreviewScheduleMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static ScheduleServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ScheduleServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ScheduleServiceStub>() {
        @java.lang.Override
        public ScheduleServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ScheduleServiceStub(channel, callOptions);
        }
      };
    return ScheduleServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static ScheduleServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ScheduleServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ScheduleServiceBlockingV2Stub>() {
        @java.lang.Override
        public ScheduleServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ScheduleServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return ScheduleServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static ScheduleServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ScheduleServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ScheduleServiceBlockingStub>() {
        @java.lang.Override
        public ScheduleServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ScheduleServiceBlockingStub(channel, callOptions);
        }
      };
    return ScheduleServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static ScheduleServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<ScheduleServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<ScheduleServiceFutureStub>() {
        @java.lang.Override
        public ScheduleServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new ScheduleServiceFutureStub(channel, callOptions);
        }
      };
    return ScheduleServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * For producers and operators. Common reasons as in JobService.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Makes or changes a schedule by name. `at` and `in` make one job and take only spec and job. Idempotent by name, or by job.id for at and in.
     * Reasons: INVALID_FIELD, CONFLICT (etag), DRIVER_UNSUPPORTED, and those of Dispatch.
     * </pre>
     */
    default void schedule(dev.protojobs.v1.ScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ScheduleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getScheduleMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns one schedule. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void getSchedule(dev.protojobs.v1.GetScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.GetScheduleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetScheduleMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns schedules by name. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void listSchedules(dev.protojobs.v1.ListSchedulesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListSchedulesResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListSchedulesMethod(), responseObserver);
    }

    /**
     * <pre>
     * Removes a schedule; jobs that it made stay. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, CONFLICT, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void deleteSchedule(dev.protojobs.v1.DeleteScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteScheduleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteScheduleMethod(), responseObserver);
    }

    /**
     * <pre>
     * Stops ticks. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void pauseSchedule(dev.protojobs.v1.PauseScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.PauseScheduleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPauseScheduleMethod(), responseObserver);
    }

    /**
     * <pre>
     * Lets it tick again from now on; nothing of the pause is caught up. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void resumeSchedule(dev.protojobs.v1.ResumeScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ResumeScheduleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getResumeScheduleMethod(), responseObserver);
    }

    /**
     * <pre>
     * Makes a job of the schedule now. Idempotent by job_id. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void triggerSchedule(dev.protojobs.v1.TriggerScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.TriggerScheduleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getTriggerScheduleMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns the next ticks of a spec, saved or not. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void previewSchedule(dev.protojobs.v1.PreviewScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.PreviewScheduleResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getPreviewScheduleMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service ScheduleService.
   * <pre>
   * For producers and operators. Common reasons as in JobService.
   * </pre>
   */
  public static abstract class ScheduleServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return ScheduleServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service ScheduleService.
   * <pre>
   * For producers and operators. Common reasons as in JobService.
   * </pre>
   */
  public static final class ScheduleServiceStub
      extends io.grpc.stub.AbstractAsyncStub<ScheduleServiceStub> {
    private ScheduleServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ScheduleServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ScheduleServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes or changes a schedule by name. `at` and `in` make one job and take only spec and job. Idempotent by name, or by job.id for at and in.
     * Reasons: INVALID_FIELD, CONFLICT (etag), DRIVER_UNSUPPORTED, and those of Dispatch.
     * </pre>
     */
    public void schedule(dev.protojobs.v1.ScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ScheduleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getScheduleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns one schedule. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void getSchedule(dev.protojobs.v1.GetScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.GetScheduleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetScheduleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns schedules by name. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void listSchedules(dev.protojobs.v1.ListSchedulesRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListSchedulesResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListSchedulesMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Removes a schedule; jobs that it made stay. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, CONFLICT, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void deleteSchedule(dev.protojobs.v1.DeleteScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteScheduleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteScheduleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Stops ticks. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void pauseSchedule(dev.protojobs.v1.PauseScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.PauseScheduleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPauseScheduleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Lets it tick again from now on; nothing of the pause is caught up. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void resumeSchedule(dev.protojobs.v1.ResumeScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ResumeScheduleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getResumeScheduleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Makes a job of the schedule now. Idempotent by job_id. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void triggerSchedule(dev.protojobs.v1.TriggerScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.TriggerScheduleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getTriggerScheduleMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns the next ticks of a spec, saved or not. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void previewSchedule(dev.protojobs.v1.PreviewScheduleRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.PreviewScheduleResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getPreviewScheduleMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service ScheduleService.
   * <pre>
   * For producers and operators. Common reasons as in JobService.
   * </pre>
   */
  public static final class ScheduleServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<ScheduleServiceBlockingV2Stub> {
    private ScheduleServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ScheduleServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ScheduleServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes or changes a schedule by name. `at` and `in` make one job and take only spec and job. Idempotent by name, or by job.id for at and in.
     * Reasons: INVALID_FIELD, CONFLICT (etag), DRIVER_UNSUPPORTED, and those of Dispatch.
     * </pre>
     */
    public dev.protojobs.v1.ScheduleResponse schedule(dev.protojobs.v1.ScheduleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns one schedule. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.GetScheduleResponse getSchedule(dev.protojobs.v1.GetScheduleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns schedules by name. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.ListSchedulesResponse listSchedules(dev.protojobs.v1.ListSchedulesRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListSchedulesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a schedule; jobs that it made stay. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, CONFLICT, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.DeleteScheduleResponse deleteSchedule(dev.protojobs.v1.DeleteScheduleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stops ticks. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.PauseScheduleResponse pauseSchedule(dev.protojobs.v1.PauseScheduleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPauseScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lets it tick again from now on; nothing of the pause is caught up. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.ResumeScheduleResponse resumeSchedule(dev.protojobs.v1.ResumeScheduleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getResumeScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes a job of the schedule now. Idempotent by job_id. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.TriggerScheduleResponse triggerSchedule(dev.protojobs.v1.TriggerScheduleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getTriggerScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the next ticks of a spec, saved or not. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.PreviewScheduleResponse previewSchedule(dev.protojobs.v1.PreviewScheduleRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getPreviewScheduleMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service ScheduleService.
   * <pre>
   * For producers and operators. Common reasons as in JobService.
   * </pre>
   */
  public static final class ScheduleServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<ScheduleServiceBlockingStub> {
    private ScheduleServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ScheduleServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ScheduleServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes or changes a schedule by name. `at` and `in` make one job and take only spec and job. Idempotent by name, or by job.id for at and in.
     * Reasons: INVALID_FIELD, CONFLICT (etag), DRIVER_UNSUPPORTED, and those of Dispatch.
     * </pre>
     */
    public dev.protojobs.v1.ScheduleResponse schedule(dev.protojobs.v1.ScheduleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns one schedule. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.GetScheduleResponse getSchedule(dev.protojobs.v1.GetScheduleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns schedules by name. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.ListSchedulesResponse listSchedules(dev.protojobs.v1.ListSchedulesRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListSchedulesMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a schedule; jobs that it made stay. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, CONFLICT, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.DeleteScheduleResponse deleteSchedule(dev.protojobs.v1.DeleteScheduleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stops ticks. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.PauseScheduleResponse pauseSchedule(dev.protojobs.v1.PauseScheduleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPauseScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Lets it tick again from now on; nothing of the pause is caught up. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.ResumeScheduleResponse resumeSchedule(dev.protojobs.v1.ResumeScheduleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getResumeScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Makes a job of the schedule now. Idempotent by job_id. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.TriggerScheduleResponse triggerSchedule(dev.protojobs.v1.TriggerScheduleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getTriggerScheduleMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the next ticks of a spec, saved or not. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.PreviewScheduleResponse previewSchedule(dev.protojobs.v1.PreviewScheduleRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getPreviewScheduleMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service ScheduleService.
   * <pre>
   * For producers and operators. Common reasons as in JobService.
   * </pre>
   */
  public static final class ScheduleServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<ScheduleServiceFutureStub> {
    private ScheduleServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected ScheduleServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new ScheduleServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Makes or changes a schedule by name. `at` and `in` make one job and take only spec and job. Idempotent by name, or by job.id for at and in.
     * Reasons: INVALID_FIELD, CONFLICT (etag), DRIVER_UNSUPPORTED, and those of Dispatch.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ScheduleResponse> schedule(
        dev.protojobs.v1.ScheduleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getScheduleMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns one schedule. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.GetScheduleResponse> getSchedule(
        dev.protojobs.v1.GetScheduleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetScheduleMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns schedules by name. Reasons: INVALID_FIELD, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ListSchedulesResponse> listSchedules(
        dev.protojobs.v1.ListSchedulesRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListSchedulesMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Removes a schedule; jobs that it made stay. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, CONFLICT, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.DeleteScheduleResponse> deleteSchedule(
        dev.protojobs.v1.DeleteScheduleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteScheduleMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Stops ticks. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.PauseScheduleResponse> pauseSchedule(
        dev.protojobs.v1.PauseScheduleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPauseScheduleMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Lets it tick again from now on; nothing of the pause is caught up. Idempotent. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ResumeScheduleResponse> resumeSchedule(
        dev.protojobs.v1.ResumeScheduleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getResumeScheduleMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Makes a job of the schedule now. Idempotent by job_id. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.TriggerScheduleResponse> triggerSchedule(
        dev.protojobs.v1.TriggerScheduleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getTriggerScheduleMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns the next ticks of a spec, saved or not. Reasons: INVALID_FIELD, SCHEDULE_NOT_FOUND, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.PreviewScheduleResponse> previewSchedule(
        dev.protojobs.v1.PreviewScheduleRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getPreviewScheduleMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_SCHEDULE = 0;
  private static final int METHODID_GET_SCHEDULE = 1;
  private static final int METHODID_LIST_SCHEDULES = 2;
  private static final int METHODID_DELETE_SCHEDULE = 3;
  private static final int METHODID_PAUSE_SCHEDULE = 4;
  private static final int METHODID_RESUME_SCHEDULE = 5;
  private static final int METHODID_TRIGGER_SCHEDULE = 6;
  private static final int METHODID_PREVIEW_SCHEDULE = 7;

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
        case METHODID_SCHEDULE:
          serviceImpl.schedule((dev.protojobs.v1.ScheduleRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ScheduleResponse>) responseObserver);
          break;
        case METHODID_GET_SCHEDULE:
          serviceImpl.getSchedule((dev.protojobs.v1.GetScheduleRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.GetScheduleResponse>) responseObserver);
          break;
        case METHODID_LIST_SCHEDULES:
          serviceImpl.listSchedules((dev.protojobs.v1.ListSchedulesRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ListSchedulesResponse>) responseObserver);
          break;
        case METHODID_DELETE_SCHEDULE:
          serviceImpl.deleteSchedule((dev.protojobs.v1.DeleteScheduleRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteScheduleResponse>) responseObserver);
          break;
        case METHODID_PAUSE_SCHEDULE:
          serviceImpl.pauseSchedule((dev.protojobs.v1.PauseScheduleRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.PauseScheduleResponse>) responseObserver);
          break;
        case METHODID_RESUME_SCHEDULE:
          serviceImpl.resumeSchedule((dev.protojobs.v1.ResumeScheduleRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ResumeScheduleResponse>) responseObserver);
          break;
        case METHODID_TRIGGER_SCHEDULE:
          serviceImpl.triggerSchedule((dev.protojobs.v1.TriggerScheduleRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.TriggerScheduleResponse>) responseObserver);
          break;
        case METHODID_PREVIEW_SCHEDULE:
          serviceImpl.previewSchedule((dev.protojobs.v1.PreviewScheduleRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.PreviewScheduleResponse>) responseObserver);
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
          getScheduleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ScheduleRequest,
              dev.protojobs.v1.ScheduleResponse>(
                service, METHODID_SCHEDULE)))
        .addMethod(
          getGetScheduleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.GetScheduleRequest,
              dev.protojobs.v1.GetScheduleResponse>(
                service, METHODID_GET_SCHEDULE)))
        .addMethod(
          getListSchedulesMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ListSchedulesRequest,
              dev.protojobs.v1.ListSchedulesResponse>(
                service, METHODID_LIST_SCHEDULES)))
        .addMethod(
          getDeleteScheduleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.DeleteScheduleRequest,
              dev.protojobs.v1.DeleteScheduleResponse>(
                service, METHODID_DELETE_SCHEDULE)))
        .addMethod(
          getPauseScheduleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.PauseScheduleRequest,
              dev.protojobs.v1.PauseScheduleResponse>(
                service, METHODID_PAUSE_SCHEDULE)))
        .addMethod(
          getResumeScheduleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ResumeScheduleRequest,
              dev.protojobs.v1.ResumeScheduleResponse>(
                service, METHODID_RESUME_SCHEDULE)))
        .addMethod(
          getTriggerScheduleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.TriggerScheduleRequest,
              dev.protojobs.v1.TriggerScheduleResponse>(
                service, METHODID_TRIGGER_SCHEDULE)))
        .addMethod(
          getPreviewScheduleMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.PreviewScheduleRequest,
              dev.protojobs.v1.PreviewScheduleResponse>(
                service, METHODID_PREVIEW_SCHEDULE)))
        .build();
  }

  private static abstract class ScheduleServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    ScheduleServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.protojobs.v1.ScheduleServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("ScheduleService");
    }
  }

  private static final class ScheduleServiceFileDescriptorSupplier
      extends ScheduleServiceBaseDescriptorSupplier {
    ScheduleServiceFileDescriptorSupplier() {}
  }

  private static final class ScheduleServiceMethodDescriptorSupplier
      extends ScheduleServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    ScheduleServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (ScheduleServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new ScheduleServiceFileDescriptorSupplier())
              .addMethod(getScheduleMethod())
              .addMethod(getGetScheduleMethod())
              .addMethod(getListSchedulesMethod())
              .addMethod(getDeleteScheduleMethod())
              .addMethod(getPauseScheduleMethod())
              .addMethod(getResumeScheduleMethod())
              .addMethod(getTriggerScheduleMethod())
              .addMethod(getPreviewScheduleMethod())
              .build();
        }
      }
    }
    return result;
  }
}
