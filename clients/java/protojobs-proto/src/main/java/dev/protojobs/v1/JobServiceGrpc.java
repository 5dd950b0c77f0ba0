package dev.protojobs.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * For producers and operators. Every RPC may also return MALFORMED_MESSAGE, STORE_UNAVAILABLE, OVERLOADED, DRAINING, DEADLINE,
 * UNAUTHENTICATED, PERMISSION_DENIED and INTERNAL.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class JobServiceGrpc {

  private JobServiceGrpc() {}

  public static final java.lang.String SERVICE_NAME = "protojobs.v1.JobService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchRequest,
      dev.protojobs.v1.DispatchResponse> getDispatchMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Dispatch",
      requestType = dev.protojobs.v1.DispatchRequest.class,
      responseType = dev.protojobs.v1.DispatchResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchRequest,
      dev.protojobs.v1.DispatchResponse> getDispatchMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchRequest, dev.protojobs.v1.DispatchResponse> getDispatchMethod;
    if ((getDispatchMethod = JobServiceGrpc.getDispatchMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getDispatchMethod = JobServiceGrpc.getDispatchMethod) == null) {
          JobServiceGrpc.getDispatchMethod = getDispatchMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.DispatchRequest, dev.protojobs.v1.DispatchResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Dispatch"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DispatchRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DispatchResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("Dispatch"))
              .build();
        }
      }
    }
    return getDispatchMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchBatchRequest,
      dev.protojobs.v1.DispatchBatchResponse> getDispatchBatchMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DispatchBatch",
      requestType = dev.protojobs.v1.DispatchBatchRequest.class,
      responseType = dev.protojobs.v1.DispatchBatchResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchBatchRequest,
      dev.protojobs.v1.DispatchBatchResponse> getDispatchBatchMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchBatchRequest, dev.protojobs.v1.DispatchBatchResponse> getDispatchBatchMethod;
    if ((getDispatchBatchMethod = JobServiceGrpc.getDispatchBatchMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getDispatchBatchMethod = JobServiceGrpc.getDispatchBatchMethod) == null) {
          JobServiceGrpc.getDispatchBatchMethod = getDispatchBatchMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.DispatchBatchRequest, dev.protojobs.v1.DispatchBatchResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DispatchBatch"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DispatchBatchRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DispatchBatchResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("DispatchBatch"))
              .build();
        }
      }
    }
    return getDispatchBatchMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchStreamRequest,
      dev.protojobs.v1.DispatchStreamResponse> getDispatchStreamMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DispatchStream",
      requestType = dev.protojobs.v1.DispatchStreamRequest.class,
      responseType = dev.protojobs.v1.DispatchStreamResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchStreamRequest,
      dev.protojobs.v1.DispatchStreamResponse> getDispatchStreamMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.DispatchStreamRequest, dev.protojobs.v1.DispatchStreamResponse> getDispatchStreamMethod;
    if ((getDispatchStreamMethod = JobServiceGrpc.getDispatchStreamMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getDispatchStreamMethod = JobServiceGrpc.getDispatchStreamMethod) == null) {
          JobServiceGrpc.getDispatchStreamMethod = getDispatchStreamMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.DispatchStreamRequest, dev.protojobs.v1.DispatchStreamResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.BIDI_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DispatchStream"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DispatchStreamRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DispatchStreamResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("DispatchStream"))
              .build();
        }
      }
    }
    return getDispatchStreamMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.GetJobRequest,
      dev.protojobs.v1.GetJobResponse> getGetJobMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetJob",
      requestType = dev.protojobs.v1.GetJobRequest.class,
      responseType = dev.protojobs.v1.GetJobResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.GetJobRequest,
      dev.protojobs.v1.GetJobResponse> getGetJobMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.GetJobRequest, dev.protojobs.v1.GetJobResponse> getGetJobMethod;
    if ((getGetJobMethod = JobServiceGrpc.getGetJobMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getGetJobMethod = JobServiceGrpc.getGetJobMethod) == null) {
          JobServiceGrpc.getGetJobMethod = getGetJobMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.GetJobRequest, dev.protojobs.v1.GetJobResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetJob"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.GetJobRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.GetJobResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("GetJob"))
              .build();
        }
      }
    }
    return getGetJobMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ListJobsRequest,
      dev.protojobs.v1.ListJobsResponse> getListJobsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListJobs",
      requestType = dev.protojobs.v1.ListJobsRequest.class,
      responseType = dev.protojobs.v1.ListJobsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ListJobsRequest,
      dev.protojobs.v1.ListJobsResponse> getListJobsMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ListJobsRequest, dev.protojobs.v1.ListJobsResponse> getListJobsMethod;
    if ((getListJobsMethod = JobServiceGrpc.getListJobsMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getListJobsMethod = JobServiceGrpc.getListJobsMethod) == null) {
          JobServiceGrpc.getListJobsMethod = getListJobsMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ListJobsRequest, dev.protojobs.v1.ListJobsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListJobs"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListJobsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListJobsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("ListJobs"))
              .build();
        }
      }
    }
    return getListJobsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.ListAttemptsRequest,
      dev.protojobs.v1.ListAttemptsResponse> getListAttemptsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListAttempts",
      requestType = dev.protojobs.v1.ListAttemptsRequest.class,
      responseType = dev.protojobs.v1.ListAttemptsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.ListAttemptsRequest,
      dev.protojobs.v1.ListAttemptsResponse> getListAttemptsMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.ListAttemptsRequest, dev.protojobs.v1.ListAttemptsResponse> getListAttemptsMethod;
    if ((getListAttemptsMethod = JobServiceGrpc.getListAttemptsMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getListAttemptsMethod = JobServiceGrpc.getListAttemptsMethod) == null) {
          JobServiceGrpc.getListAttemptsMethod = getListAttemptsMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.ListAttemptsRequest, dev.protojobs.v1.ListAttemptsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListAttempts"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListAttemptsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.ListAttemptsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("ListAttempts"))
              .build();
        }
      }
    }
    return getListAttemptsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.UpdateJobRequest,
      dev.protojobs.v1.UpdateJobResponse> getUpdateJobMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateJob",
      requestType = dev.protojobs.v1.UpdateJobRequest.class,
      responseType = dev.protojobs.v1.UpdateJobResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.UpdateJobRequest,
      dev.protojobs.v1.UpdateJobResponse> getUpdateJobMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.UpdateJobRequest, dev.protojobs.v1.UpdateJobResponse> getUpdateJobMethod;
    if ((getUpdateJobMethod = JobServiceGrpc.getUpdateJobMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getUpdateJobMethod = JobServiceGrpc.getUpdateJobMethod) == null) {
          JobServiceGrpc.getUpdateJobMethod = getUpdateJobMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.UpdateJobRequest, dev.protojobs.v1.UpdateJobResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateJob"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.UpdateJobRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.UpdateJobResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("UpdateJob"))
              .build();
        }
      }
    }
    return getUpdateJobMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteJobRequest,
      dev.protojobs.v1.DeleteJobResponse> getDeleteJobMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteJob",
      requestType = dev.protojobs.v1.DeleteJobRequest.class,
      responseType = dev.protojobs.v1.DeleteJobResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteJobRequest,
      dev.protojobs.v1.DeleteJobResponse> getDeleteJobMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.DeleteJobRequest, dev.protojobs.v1.DeleteJobResponse> getDeleteJobMethod;
    if ((getDeleteJobMethod = JobServiceGrpc.getDeleteJobMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getDeleteJobMethod = JobServiceGrpc.getDeleteJobMethod) == null) {
          JobServiceGrpc.getDeleteJobMethod = getDeleteJobMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.DeleteJobRequest, dev.protojobs.v1.DeleteJobResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteJob"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DeleteJobRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.DeleteJobResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("DeleteJob"))
              .build();
        }
      }
    }
    return getDeleteJobMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.CancelRequest,
      dev.protojobs.v1.CancelResponse> getCancelMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Cancel",
      requestType = dev.protojobs.v1.CancelRequest.class,
      responseType = dev.protojobs.v1.CancelResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.CancelRequest,
      dev.protojobs.v1.CancelResponse> getCancelMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.CancelRequest, dev.protojobs.v1.CancelResponse> getCancelMethod;
    if ((getCancelMethod = JobServiceGrpc.getCancelMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getCancelMethod = JobServiceGrpc.getCancelMethod) == null) {
          JobServiceGrpc.getCancelMethod = getCancelMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.CancelRequest, dev.protojobs.v1.CancelResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Cancel"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.CancelRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.CancelResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("Cancel"))
              .build();
        }
      }
    }
    return getCancelMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.RetryRequest,
      dev.protojobs.v1.RetryResponse> getRetryMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Retry",
      requestType = dev.protojobs.v1.RetryRequest.class,
      responseType = dev.protojobs.v1.RetryResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.RetryRequest,
      dev.protojobs.v1.RetryResponse> getRetryMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.RetryRequest, dev.protojobs.v1.RetryResponse> getRetryMethod;
    if ((getRetryMethod = JobServiceGrpc.getRetryMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getRetryMethod = JobServiceGrpc.getRetryMethod) == null) {
          JobServiceGrpc.getRetryMethod = getRetryMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.RetryRequest, dev.protojobs.v1.RetryResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Retry"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.RetryRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.RetryResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("Retry"))
              .build();
        }
      }
    }
    return getRetryMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.BulkJobsRequest,
      dev.protojobs.v1.BulkJobsResponse> getBulkJobsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "BulkJobs",
      requestType = dev.protojobs.v1.BulkJobsRequest.class,
      responseType = dev.protojobs.v1.BulkJobsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.BulkJobsRequest,
      dev.protojobs.v1.BulkJobsResponse> getBulkJobsMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.BulkJobsRequest, dev.protojobs.v1.BulkJobsResponse> getBulkJobsMethod;
    if ((getBulkJobsMethod = JobServiceGrpc.getBulkJobsMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getBulkJobsMethod = JobServiceGrpc.getBulkJobsMethod) == null) {
          JobServiceGrpc.getBulkJobsMethod = getBulkJobsMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.BulkJobsRequest, dev.protojobs.v1.BulkJobsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "BulkJobs"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.BulkJobsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.BulkJobsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("BulkJobs"))
              .build();
        }
      }
    }
    return getBulkJobsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.WaitJobRequest,
      dev.protojobs.v1.WaitJobResponse> getWaitJobMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WaitJob",
      requestType = dev.protojobs.v1.WaitJobRequest.class,
      responseType = dev.protojobs.v1.WaitJobResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.WaitJobRequest,
      dev.protojobs.v1.WaitJobResponse> getWaitJobMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.WaitJobRequest, dev.protojobs.v1.WaitJobResponse> getWaitJobMethod;
    if ((getWaitJobMethod = JobServiceGrpc.getWaitJobMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getWaitJobMethod = JobServiceGrpc.getWaitJobMethod) == null) {
          JobServiceGrpc.getWaitJobMethod = getWaitJobMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.WaitJobRequest, dev.protojobs.v1.WaitJobResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WaitJob"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.WaitJobRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.WaitJobResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("WaitJob"))
              .build();
        }
      }
    }
    return getWaitJobMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.protojobs.v1.WatchJobsRequest,
      dev.protojobs.v1.WatchJobsResponse> getWatchJobsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "WatchJobs",
      requestType = dev.protojobs.v1.WatchJobsRequest.class,
      responseType = dev.protojobs.v1.WatchJobsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.protojobs.v1.WatchJobsRequest,
      dev.protojobs.v1.WatchJobsResponse> getWatchJobsMethod() {
    io.grpc.MethodDescriptor<dev.protojobs.v1.WatchJobsRequest, dev.protojobs.v1.WatchJobsResponse> getWatchJobsMethod;
    if ((getWatchJobsMethod = JobServiceGrpc.getWatchJobsMethod) == null) {
      synchronized (JobServiceGrpc.class) {
        if ((getWatchJobsMethod = JobServiceGrpc.getWatchJobsMethod) == null) {
          JobServiceGrpc.getWatchJobsMethod = getWatchJobsMethod =
              io.grpc.MethodDescriptor.<dev.protojobs.v1.WatchJobsRequest, dev.protojobs.v1.WatchJobsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "WatchJobs"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.WatchJobsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.protojobs.v1.WatchJobsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new JobServiceMethodDescriptorSupplier("WatchJobs"))
              .build();
        }
      }
    }
    return getWatchJobsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static JobServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<JobServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<JobServiceStub>() {
        @java.lang.Override
        public JobServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new JobServiceStub(channel, callOptions);
        }
      };
    return JobServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static JobServiceBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<JobServiceBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<JobServiceBlockingV2Stub>() {
        @java.lang.Override
        public JobServiceBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new JobServiceBlockingV2Stub(channel, callOptions);
        }
      };
    return JobServiceBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static JobServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<JobServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<JobServiceBlockingStub>() {
        @java.lang.Override
        public JobServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new JobServiceBlockingStub(channel, callOptions);
        }
      };
    return JobServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static JobServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<JobServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<JobServiceFutureStub>() {
        @java.lang.Override
        public JobServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new JobServiceFutureStub(channel, callOptions);
        }
      };
    return JobServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * For producers and operators. Every RPC may also return MALFORMED_MESSAGE, STORE_UNAVAILABLE, OVERLOADED, DRAINING, DEADLINE,
   * UNAUTHENTICATED, PERMISSION_DENIED and INTERNAL.
   * </pre>
   */
  public interface AsyncService {

    /**
     * <pre>
     * Stores one job; OK only after the store has committed. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD, JOB_ID_TIME, PAYLOAD_TOO_LARGE, JOB_ID_REUSED, DUPLICATE_JOB, QUEUE_FULL, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void dispatch(dev.protojobs.v1.DispatchRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDispatchMethod(), responseObserver);
    }

    /**
     * <pre>
     * Stores up to 1000 jobs, per item or all or none. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD (more than 1000 items); per item those of Dispatch; with atomic the first of them for the call.
     * </pre>
     */
    default void dispatchBatch(dev.protojobs.v1.DispatchBatchRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchBatchResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDispatchBatchMethod(), responseObserver);
    }

    /**
     * <pre>
     * Stores jobs from a stream of frames; each is acknowledged after the commit that holds it. The first answer carries only the
     * window. Where the store is lost the stream ends with STORE_UNAVAILABLE after acknowledging what was committed; frames without
     * an acknowledgement may be sent again. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD (more than 1000 specs in a frame, seq that does not grow), OVERLOADED (window ignored).
     * </pre>
     */
    default io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchStreamRequest> dispatchStream(
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchStreamResponse> responseObserver) {
      return io.grpc.stub.ServerCalls.asyncUnimplementedStreamingCall(getDispatchStreamMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns one job. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    default void getJob(dev.protojobs.v1.GetJobRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.GetJobResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetJobMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns jobs by filter, newest first. Reasons: INVALID_FIELD.
     * </pre>
     */
    default void listJobs(dev.protojobs.v1.ListJobsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListJobsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListJobsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Returns the attempts of one job, oldest first. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    default void listAttempts(dev.protojobs.v1.ListAttemptsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListAttemptsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListAttemptsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Changes a job that waits; a PENDING one then waits behind all others of its priority. Idempotent, but `delay` counts anew.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING, JOB_FINAL, PAYLOAD_TOO_LARGE, CONFLICT, DUPLICATE_JOB, QUOTA_EXCEEDED,
     * DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void updateJob(dev.protojobs.v1.UpdateJobRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.UpdateJobResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateJobMethod(), responseObserver);
    }

    /**
     * <pre>
     * Removes a job that is not RUNNING, with its history; its id stays taken. Idempotent: a job that was deleted before is OK,
     * not JOB_NOT_FOUND. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING.
     * </pre>
     */
    default void deleteJob(dev.protojobs.v1.DeleteJobRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteJobResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteJobMethod(), responseObserver);
    }

    /**
     * <pre>
     * Cancels a job: at once while it waits, by its worker while it runs (with a deadline after which the lease is revoked).
     * Idempotent. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_FINAL (COMPLETED, FAILED or EXPIRED before).
     * </pre>
     */
    default void cancel(dev.protojobs.v1.CancelRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.CancelResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCancelMethod(), responseObserver);
    }

    /**
     * <pre>
     * Takes a final job up again under its id, or runs a SCHEDULED or RETRYING one now. Idempotent by expected_attempt.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_NOT_FINAL, DUPLICATE_JOB, PAYLOAD_TOO_LARGE, CONFLICT.
     * </pre>
     */
    default void retry(dev.protojobs.v1.RetryRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.RetryResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRetryMethod(), responseObserver);
    }

    /**
     * <pre>
     * Acts on many jobs, bounded per call, with a token to go on. Idempotent: a call that was not answered may be repeated; what it
     * had changed is then not counted again. Jobs created after the first call are left alone.
     * Reasons: INVALID_FIELD, CONFLICT, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void bulkJobs(dev.protojobs.v1.BulkJobsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.BulkJobsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getBulkJobsMethod(), responseObserver);
    }

    /**
     * <pre>
     * Waits until a job is final, or for `wait`, and returns it. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    default void waitJob(dev.protojobs.v1.WaitJobRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.WaitJobResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWaitJobMethod(), responseObserver);
    }

    /**
     * <pre>
     * Streams changes of jobs from a cursor. What ends or retries a job comes without a gap and without a repeat; starts and progress
     * are live, and come of queues with events = ALL. The first answer comes at once and says where it begins. Ends with OK when the
     * server leaves: go on from the last cursor. A caller that does not keep up is cut off with OVERLOADED and may go on, too.
     * Reasons: INVALID_FIELD (cursor of another store; a state that no event leads to, or RUNNING where no queue tells of it),
     * CURSOR_EXPIRED, OVERLOADED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    default void watchJobs(dev.protojobs.v1.WatchJobsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.WatchJobsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getWatchJobsMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service JobService.
   * <pre>
   * For producers and operators. Every RPC may also return MALFORMED_MESSAGE, STORE_UNAVAILABLE, OVERLOADED, DRAINING, DEADLINE,
   * UNAUTHENTICATED, PERMISSION_DENIED and INTERNAL.
   * </pre>
   */
  public static abstract class JobServiceImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return JobServiceGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service JobService.
   * <pre>
   * For producers and operators. Every RPC may also return MALFORMED_MESSAGE, STORE_UNAVAILABLE, OVERLOADED, DRAINING, DEADLINE,
   * UNAUTHENTICATED, PERMISSION_DENIED and INTERNAL.
   * </pre>
   */
  public static final class JobServiceStub
      extends io.grpc.stub.AbstractAsyncStub<JobServiceStub> {
    private JobServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected JobServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new JobServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores one job; OK only after the store has committed. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD, JOB_ID_TIME, PAYLOAD_TOO_LARGE, JOB_ID_REUSED, DUPLICATE_JOB, QUEUE_FULL, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void dispatch(dev.protojobs.v1.DispatchRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDispatchMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Stores up to 1000 jobs, per item or all or none. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD (more than 1000 items); per item those of Dispatch; with atomic the first of them for the call.
     * </pre>
     */
    public void dispatchBatch(dev.protojobs.v1.DispatchBatchRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchBatchResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDispatchBatchMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Stores jobs from a stream of frames; each is acknowledged after the commit that holds it. The first answer carries only the
     * window. Where the store is lost the stream ends with STORE_UNAVAILABLE after acknowledging what was committed; frames without
     * an acknowledgement may be sent again. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD (more than 1000 specs in a frame, seq that does not grow), OVERLOADED (window ignored).
     * </pre>
     */
    public io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchStreamRequest> dispatchStream(
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchStreamResponse> responseObserver) {
      return io.grpc.stub.ClientCalls.asyncBidiStreamingCall(
          getChannel().newCall(getDispatchStreamMethod(), getCallOptions()), responseObserver);
    }

    /**
     * <pre>
     * Returns one job. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public void getJob(dev.protojobs.v1.GetJobRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.GetJobResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetJobMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns jobs by filter, newest first. Reasons: INVALID_FIELD.
     * </pre>
     */
    public void listJobs(dev.protojobs.v1.ListJobsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListJobsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListJobsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Returns the attempts of one job, oldest first. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public void listAttempts(dev.protojobs.v1.ListAttemptsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.ListAttemptsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListAttemptsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Changes a job that waits; a PENDING one then waits behind all others of its priority. Idempotent, but `delay` counts anew.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING, JOB_FINAL, PAYLOAD_TOO_LARGE, CONFLICT, DUPLICATE_JOB, QUOTA_EXCEEDED,
     * DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void updateJob(dev.protojobs.v1.UpdateJobRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.UpdateJobResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateJobMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Removes a job that is not RUNNING, with its history; its id stays taken. Idempotent: a job that was deleted before is OK,
     * not JOB_NOT_FOUND. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING.
     * </pre>
     */
    public void deleteJob(dev.protojobs.v1.DeleteJobRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteJobResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteJobMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Cancels a job: at once while it waits, by its worker while it runs (with a deadline after which the lease is revoked).
     * Idempotent. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_FINAL (COMPLETED, FAILED or EXPIRED before).
     * </pre>
     */
    public void cancel(dev.protojobs.v1.CancelRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.CancelResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCancelMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Takes a final job up again under its id, or runs a SCHEDULED or RETRYING one now. Idempotent by expected_attempt.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_NOT_FINAL, DUPLICATE_JOB, PAYLOAD_TOO_LARGE, CONFLICT.
     * </pre>
     */
    public void retry(dev.protojobs.v1.RetryRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.RetryResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRetryMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Acts on many jobs, bounded per call, with a token to go on. Idempotent: a call that was not answered may be repeated; what it
     * had changed is then not counted again. Jobs created after the first call are left alone.
     * Reasons: INVALID_FIELD, CONFLICT, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void bulkJobs(dev.protojobs.v1.BulkJobsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.BulkJobsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getBulkJobsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Waits until a job is final, or for `wait`, and returns it. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public void waitJob(dev.protojobs.v1.WaitJobRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.WaitJobResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getWaitJobMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Streams changes of jobs from a cursor. What ends or retries a job comes without a gap and without a repeat; starts and progress
     * are live, and come of queues with events = ALL. The first answer comes at once and says where it begins. Ends with OK when the
     * server leaves: go on from the last cursor. A caller that does not keep up is cut off with OVERLOADED and may go on, too.
     * Reasons: INVALID_FIELD (cursor of another store; a state that no event leads to, or RUNNING where no queue tells of it),
     * CURSOR_EXPIRED, OVERLOADED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public void watchJobs(dev.protojobs.v1.WatchJobsRequest request,
        io.grpc.stub.StreamObserver<dev.protojobs.v1.WatchJobsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getWatchJobsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service JobService.
   * <pre>
   * For producers and operators. Every RPC may also return MALFORMED_MESSAGE, STORE_UNAVAILABLE, OVERLOADED, DRAINING, DEADLINE,
   * UNAUTHENTICATED, PERMISSION_DENIED and INTERNAL.
   * </pre>
   */
  public static final class JobServiceBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<JobServiceBlockingV2Stub> {
    private JobServiceBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected JobServiceBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new JobServiceBlockingV2Stub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores one job; OK only after the store has committed. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD, JOB_ID_TIME, PAYLOAD_TOO_LARGE, JOB_ID_REUSED, DUPLICATE_JOB, QUEUE_FULL, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.DispatchResponse dispatch(dev.protojobs.v1.DispatchRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDispatchMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stores up to 1000 jobs, per item or all or none. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD (more than 1000 items); per item those of Dispatch; with atomic the first of them for the call.
     * </pre>
     */
    public dev.protojobs.v1.DispatchBatchResponse dispatchBatch(dev.protojobs.v1.DispatchBatchRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDispatchBatchMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stores jobs from a stream of frames; each is acknowledged after the commit that holds it. The first answer carries only the
     * window. Where the store is lost the stream ends with STORE_UNAVAILABLE after acknowledging what was committed; frames without
     * an acknowledgement may be sent again. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD (more than 1000 specs in a frame, seq that does not grow), OVERLOADED (window ignored).
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<dev.protojobs.v1.DispatchStreamRequest, dev.protojobs.v1.DispatchStreamResponse>
        dispatchStream() {
      return io.grpc.stub.ClientCalls.blockingBidiStreamingCall(
          getChannel(), getDispatchStreamMethod(), getCallOptions());
    }

    /**
     * <pre>
     * Returns one job. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.GetJobResponse getJob(dev.protojobs.v1.GetJobRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetJobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns jobs by filter, newest first. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.ListJobsResponse listJobs(dev.protojobs.v1.ListJobsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListJobsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the attempts of one job, oldest first. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.ListAttemptsResponse listAttempts(dev.protojobs.v1.ListAttemptsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListAttemptsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes a job that waits; a PENDING one then waits behind all others of its priority. Idempotent, but `delay` counts anew.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING, JOB_FINAL, PAYLOAD_TOO_LARGE, CONFLICT, DUPLICATE_JOB, QUOTA_EXCEEDED,
     * DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.UpdateJobResponse updateJob(dev.protojobs.v1.UpdateJobRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateJobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a job that is not RUNNING, with its history; its id stays taken. Idempotent: a job that was deleted before is OK,
     * not JOB_NOT_FOUND. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING.
     * </pre>
     */
    public dev.protojobs.v1.DeleteJobResponse deleteJob(dev.protojobs.v1.DeleteJobRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteJobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Cancels a job: at once while it waits, by its worker while it runs (with a deadline after which the lease is revoked).
     * Idempotent. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_FINAL (COMPLETED, FAILED or EXPIRED before).
     * </pre>
     */
    public dev.protojobs.v1.CancelResponse cancel(dev.protojobs.v1.CancelRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCancelMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Takes a final job up again under its id, or runs a SCHEDULED or RETRYING one now. Idempotent by expected_attempt.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_NOT_FINAL, DUPLICATE_JOB, PAYLOAD_TOO_LARGE, CONFLICT.
     * </pre>
     */
    public dev.protojobs.v1.RetryResponse retry(dev.protojobs.v1.RetryRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getRetryMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Acts on many jobs, bounded per call, with a token to go on. Idempotent: a call that was not answered may be repeated; what it
     * had changed is then not counted again. Jobs created after the first call are left alone.
     * Reasons: INVALID_FIELD, CONFLICT, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.BulkJobsResponse bulkJobs(dev.protojobs.v1.BulkJobsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getBulkJobsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Waits until a job is final, or for `wait`, and returns it. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.WaitJobResponse waitJob(dev.protojobs.v1.WaitJobRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getWaitJobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Streams changes of jobs from a cursor. What ends or retries a job comes without a gap and without a repeat; starts and progress
     * are live, and come of queues with events = ALL. The first answer comes at once and says where it begins. Ends with OK when the
     * server leaves: go on from the last cursor. A caller that does not keep up is cut off with OVERLOADED and may go on, too.
     * Reasons: INVALID_FIELD (cursor of another store; a state that no event leads to, or RUNNING where no queue tells of it),
     * CURSOR_EXPIRED, OVERLOADED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    @io.grpc.ExperimentalApi("https://github.com/grpc/grpc-java/issues/10918")
    public io.grpc.stub.BlockingClientCall<?, dev.protojobs.v1.WatchJobsResponse>
        watchJobs(dev.protojobs.v1.WatchJobsRequest request) {
      return io.grpc.stub.ClientCalls.blockingV2ServerStreamingCall(
          getChannel(), getWatchJobsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service JobService.
   * <pre>
   * For producers and operators. Every RPC may also return MALFORMED_MESSAGE, STORE_UNAVAILABLE, OVERLOADED, DRAINING, DEADLINE,
   * UNAUTHENTICATED, PERMISSION_DENIED and INTERNAL.
   * </pre>
   */
  public static final class JobServiceBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<JobServiceBlockingStub> {
    private JobServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected JobServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new JobServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores one job; OK only after the store has committed. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD, JOB_ID_TIME, PAYLOAD_TOO_LARGE, JOB_ID_REUSED, DUPLICATE_JOB, QUEUE_FULL, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.DispatchResponse dispatch(dev.protojobs.v1.DispatchRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDispatchMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Stores up to 1000 jobs, per item or all or none. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD (more than 1000 items); per item those of Dispatch; with atomic the first of them for the call.
     * </pre>
     */
    public dev.protojobs.v1.DispatchBatchResponse dispatchBatch(dev.protojobs.v1.DispatchBatchRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDispatchBatchMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns one job. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.GetJobResponse getJob(dev.protojobs.v1.GetJobRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetJobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns jobs by filter, newest first. Reasons: INVALID_FIELD.
     * </pre>
     */
    public dev.protojobs.v1.ListJobsResponse listJobs(dev.protojobs.v1.ListJobsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListJobsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Returns the attempts of one job, oldest first. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.ListAttemptsResponse listAttempts(dev.protojobs.v1.ListAttemptsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListAttemptsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Changes a job that waits; a PENDING one then waits behind all others of its priority. Idempotent, but `delay` counts anew.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING, JOB_FINAL, PAYLOAD_TOO_LARGE, CONFLICT, DUPLICATE_JOB, QUOTA_EXCEEDED,
     * DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.UpdateJobResponse updateJob(dev.protojobs.v1.UpdateJobRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateJobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Removes a job that is not RUNNING, with its history; its id stays taken. Idempotent: a job that was deleted before is OK,
     * not JOB_NOT_FOUND. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING.
     * </pre>
     */
    public dev.protojobs.v1.DeleteJobResponse deleteJob(dev.protojobs.v1.DeleteJobRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteJobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Cancels a job: at once while it waits, by its worker while it runs (with a deadline after which the lease is revoked).
     * Idempotent. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_FINAL (COMPLETED, FAILED or EXPIRED before).
     * </pre>
     */
    public dev.protojobs.v1.CancelResponse cancel(dev.protojobs.v1.CancelRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCancelMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Takes a final job up again under its id, or runs a SCHEDULED or RETRYING one now. Idempotent by expected_attempt.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_NOT_FINAL, DUPLICATE_JOB, PAYLOAD_TOO_LARGE, CONFLICT.
     * </pre>
     */
    public dev.protojobs.v1.RetryResponse retry(dev.protojobs.v1.RetryRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRetryMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Acts on many jobs, bounded per call, with a token to go on. Idempotent: a call that was not answered may be repeated; what it
     * had changed is then not counted again. Jobs created after the first call are left alone.
     * Reasons: INVALID_FIELD, CONFLICT, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public dev.protojobs.v1.BulkJobsResponse bulkJobs(dev.protojobs.v1.BulkJobsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getBulkJobsMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Waits until a job is final, or for `wait`, and returns it. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public dev.protojobs.v1.WaitJobResponse waitJob(dev.protojobs.v1.WaitJobRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getWaitJobMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Streams changes of jobs from a cursor. What ends or retries a job comes without a gap and without a repeat; starts and progress
     * are live, and come of queues with events = ALL. The first answer comes at once and says where it begins. Ends with OK when the
     * server leaves: go on from the last cursor. A caller that does not keep up is cut off with OVERLOADED and may go on, too.
     * Reasons: INVALID_FIELD (cursor of another store; a state that no event leads to, or RUNNING where no queue tells of it),
     * CURSOR_EXPIRED, OVERLOADED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public java.util.Iterator<dev.protojobs.v1.WatchJobsResponse> watchJobs(
        dev.protojobs.v1.WatchJobsRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getWatchJobsMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service JobService.
   * <pre>
   * For producers and operators. Every RPC may also return MALFORMED_MESSAGE, STORE_UNAVAILABLE, OVERLOADED, DRAINING, DEADLINE,
   * UNAUTHENTICATED, PERMISSION_DENIED and INTERNAL.
   * </pre>
   */
  public static final class JobServiceFutureStub
      extends io.grpc.stub.AbstractFutureStub<JobServiceFutureStub> {
    private JobServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected JobServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new JobServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Stores one job; OK only after the store has committed. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD, JOB_ID_TIME, PAYLOAD_TOO_LARGE, JOB_ID_REUSED, DUPLICATE_JOB, QUEUE_FULL, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.DispatchResponse> dispatch(
        dev.protojobs.v1.DispatchRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDispatchMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Stores up to 1000 jobs, per item or all or none. Idempotent by JobSpec.id.
     * Reasons: INVALID_FIELD (more than 1000 items); per item those of Dispatch; with atomic the first of them for the call.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.DispatchBatchResponse> dispatchBatch(
        dev.protojobs.v1.DispatchBatchRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDispatchBatchMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns one job. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.GetJobResponse> getJob(
        dev.protojobs.v1.GetJobRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetJobMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns jobs by filter, newest first. Reasons: INVALID_FIELD.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ListJobsResponse> listJobs(
        dev.protojobs.v1.ListJobsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListJobsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Returns the attempts of one job, oldest first. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.ListAttemptsResponse> listAttempts(
        dev.protojobs.v1.ListAttemptsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListAttemptsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Changes a job that waits; a PENDING one then waits behind all others of its priority. Idempotent, but `delay` counts anew.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING, JOB_FINAL, PAYLOAD_TOO_LARGE, CONFLICT, DUPLICATE_JOB, QUOTA_EXCEEDED,
     * DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.UpdateJobResponse> updateJob(
        dev.protojobs.v1.UpdateJobRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateJobMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Removes a job that is not RUNNING, with its history; its id stays taken. Idempotent: a job that was deleted before is OK,
     * not JOB_NOT_FOUND. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_RUNNING.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.DeleteJobResponse> deleteJob(
        dev.protojobs.v1.DeleteJobRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteJobMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Cancels a job: at once while it waits, by its worker while it runs (with a deadline after which the lease is revoked).
     * Idempotent. Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_FINAL (COMPLETED, FAILED or EXPIRED before).
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.CancelResponse> cancel(
        dev.protojobs.v1.CancelRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCancelMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Takes a final job up again under its id, or runs a SCHEDULED or RETRYING one now. Idempotent by expected_attempt.
     * Reasons: INVALID_FIELD, JOB_NOT_FOUND, JOB_NOT_FINAL, DUPLICATE_JOB, PAYLOAD_TOO_LARGE, CONFLICT.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.RetryResponse> retry(
        dev.protojobs.v1.RetryRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRetryMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Acts on many jobs, bounded per call, with a token to go on. Idempotent: a call that was not answered may be repeated; what it
     * had changed is then not counted again. Jobs created after the first call are left alone.
     * Reasons: INVALID_FIELD, CONFLICT, QUOTA_EXCEEDED, DRIVER_UNSUPPORTED.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.BulkJobsResponse> bulkJobs(
        dev.protojobs.v1.BulkJobsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getBulkJobsMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Waits until a job is final, or for `wait`, and returns it. Reasons: INVALID_FIELD, JOB_NOT_FOUND.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.protojobs.v1.WaitJobResponse> waitJob(
        dev.protojobs.v1.WaitJobRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getWaitJobMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_DISPATCH = 0;
  private static final int METHODID_DISPATCH_BATCH = 1;
  private static final int METHODID_GET_JOB = 2;
  private static final int METHODID_LIST_JOBS = 3;
  private static final int METHODID_LIST_ATTEMPTS = 4;
  private static final int METHODID_UPDATE_JOB = 5;
  private static final int METHODID_DELETE_JOB = 6;
  private static final int METHODID_CANCEL = 7;
  private static final int METHODID_RETRY = 8;
  private static final int METHODID_BULK_JOBS = 9;
  private static final int METHODID_WAIT_JOB = 10;
  private static final int METHODID_WATCH_JOBS = 11;
  private static final int METHODID_DISPATCH_STREAM = 12;

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
        case METHODID_DISPATCH:
          serviceImpl.dispatch((dev.protojobs.v1.DispatchRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchResponse>) responseObserver);
          break;
        case METHODID_DISPATCH_BATCH:
          serviceImpl.dispatchBatch((dev.protojobs.v1.DispatchBatchRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchBatchResponse>) responseObserver);
          break;
        case METHODID_GET_JOB:
          serviceImpl.getJob((dev.protojobs.v1.GetJobRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.GetJobResponse>) responseObserver);
          break;
        case METHODID_LIST_JOBS:
          serviceImpl.listJobs((dev.protojobs.v1.ListJobsRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ListJobsResponse>) responseObserver);
          break;
        case METHODID_LIST_ATTEMPTS:
          serviceImpl.listAttempts((dev.protojobs.v1.ListAttemptsRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.ListAttemptsResponse>) responseObserver);
          break;
        case METHODID_UPDATE_JOB:
          serviceImpl.updateJob((dev.protojobs.v1.UpdateJobRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.UpdateJobResponse>) responseObserver);
          break;
        case METHODID_DELETE_JOB:
          serviceImpl.deleteJob((dev.protojobs.v1.DeleteJobRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.DeleteJobResponse>) responseObserver);
          break;
        case METHODID_CANCEL:
          serviceImpl.cancel((dev.protojobs.v1.CancelRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.CancelResponse>) responseObserver);
          break;
        case METHODID_RETRY:
          serviceImpl.retry((dev.protojobs.v1.RetryRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.RetryResponse>) responseObserver);
          break;
        case METHODID_BULK_JOBS:
          serviceImpl.bulkJobs((dev.protojobs.v1.BulkJobsRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.BulkJobsResponse>) responseObserver);
          break;
        case METHODID_WAIT_JOB:
          serviceImpl.waitJob((dev.protojobs.v1.WaitJobRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.WaitJobResponse>) responseObserver);
          break;
        case METHODID_WATCH_JOBS:
          serviceImpl.watchJobs((dev.protojobs.v1.WatchJobsRequest) request,
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.WatchJobsResponse>) responseObserver);
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
        case METHODID_DISPATCH_STREAM:
          return (io.grpc.stub.StreamObserver<Req>) serviceImpl.dispatchStream(
              (io.grpc.stub.StreamObserver<dev.protojobs.v1.DispatchStreamResponse>) responseObserver);
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getDispatchMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.DispatchRequest,
              dev.protojobs.v1.DispatchResponse>(
                service, METHODID_DISPATCH)))
        .addMethod(
          getDispatchBatchMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.DispatchBatchRequest,
              dev.protojobs.v1.DispatchBatchResponse>(
                service, METHODID_DISPATCH_BATCH)))
        .addMethod(
          getDispatchStreamMethod(),
          io.grpc.stub.ServerCalls.asyncBidiStreamingCall(
            new MethodHandlers<
              dev.protojobs.v1.DispatchStreamRequest,
              dev.protojobs.v1.DispatchStreamResponse>(
                service, METHODID_DISPATCH_STREAM)))
        .addMethod(
          getGetJobMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.GetJobRequest,
              dev.protojobs.v1.GetJobResponse>(
                service, METHODID_GET_JOB)))
        .addMethod(
          getListJobsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ListJobsRequest,
              dev.protojobs.v1.ListJobsResponse>(
                service, METHODID_LIST_JOBS)))
        .addMethod(
          getListAttemptsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.ListAttemptsRequest,
              dev.protojobs.v1.ListAttemptsResponse>(
                service, METHODID_LIST_ATTEMPTS)))
        .addMethod(
          getUpdateJobMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.UpdateJobRequest,
              dev.protojobs.v1.UpdateJobResponse>(
                service, METHODID_UPDATE_JOB)))
        .addMethod(
          getDeleteJobMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.DeleteJobRequest,
              dev.protojobs.v1.DeleteJobResponse>(
                service, METHODID_DELETE_JOB)))
        .addMethod(
          getCancelMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.CancelRequest,
              dev.protojobs.v1.CancelResponse>(
                service, METHODID_CANCEL)))
        .addMethod(
          getRetryMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.RetryRequest,
              dev.protojobs.v1.RetryResponse>(
                service, METHODID_RETRY)))
        .addMethod(
          getBulkJobsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.BulkJobsRequest,
              dev.protojobs.v1.BulkJobsResponse>(
                service, METHODID_BULK_JOBS)))
        .addMethod(
          getWaitJobMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.protojobs.v1.WaitJobRequest,
              dev.protojobs.v1.WaitJobResponse>(
                service, METHODID_WAIT_JOB)))
        .addMethod(
          getWatchJobsMethod(),
          io.grpc.stub.ServerCalls.asyncServerStreamingCall(
            new MethodHandlers<
              dev.protojobs.v1.WatchJobsRequest,
              dev.protojobs.v1.WatchJobsResponse>(
                service, METHODID_WATCH_JOBS)))
        .build();
  }

  private static abstract class JobServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    JobServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.protojobs.v1.JobServiceProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("JobService");
    }
  }

  private static final class JobServiceFileDescriptorSupplier
      extends JobServiceBaseDescriptorSupplier {
    JobServiceFileDescriptorSupplier() {}
  }

  private static final class JobServiceMethodDescriptorSupplier
      extends JobServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    JobServiceMethodDescriptorSupplier(java.lang.String methodName) {
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
      synchronized (JobServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new JobServiceFileDescriptorSupplier())
              .addMethod(getDispatchMethod())
              .addMethod(getDispatchBatchMethod())
              .addMethod(getDispatchStreamMethod())
              .addMethod(getGetJobMethod())
              .addMethod(getListJobsMethod())
              .addMethod(getListAttemptsMethod())
              .addMethod(getUpdateJobMethod())
              .addMethod(getDeleteJobMethod())
              .addMethod(getCancelMethod())
              .addMethod(getRetryMethod())
              .addMethod(getBulkJobsMethod())
              .addMethod(getWaitJobMethod())
              .addMethod(getWatchJobsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
