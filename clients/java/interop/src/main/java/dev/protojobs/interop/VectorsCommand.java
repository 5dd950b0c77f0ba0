package dev.protojobs.interop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import com.google.rpc.ErrorDetailsProto;
import com.google.rpc.StatusProto;
import dev.protojobs.v1.AdminServiceProto;
import dev.protojobs.v1.ErrorsProto;
import dev.protojobs.v1.JobProto;
import dev.protojobs.v1.JobServiceProto;
import dev.protojobs.v1.QueueServiceProto;
import dev.protojobs.v1.ScheduleServiceProto;
import dev.protojobs.v1.ServerServiceProto;
import dev.protojobs.v1.WorkerServiceProto;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Reads golden vectors from both encodings. */
@Command(name = "vectors")
final class VectorsCommand implements Callable<Integer> {
  private static final List<FileDescriptor> FILES =
      List.of(
          AdminServiceProto.getDescriptor(),
          ErrorsProto.getDescriptor(),
          JobProto.getDescriptor(),
          JobServiceProto.getDescriptor(),
          QueueServiceProto.getDescriptor(),
          ScheduleServiceProto.getDescriptor(),
          ServerServiceProto.getDescriptor(),
          WorkerServiceProto.getDescriptor(),
          StatusProto.getDescriptor(),
          ErrorDetailsProto.getDescriptor());

  @Option(names = "--dir", required = true)
  private Path directory;

  @Override
  public Integer call() throws IOException {
    Map<String, Descriptor> types = new HashMap<>();
    FILES.forEach(
        file -> file.getMessageTypes().forEach(type -> types.put(type.getFullName(), type)));
    JsonFormat.TypeRegistry registry =
        JsonFormat.TypeRegistry.newBuilder().add(types.values()).build();
    JsonNode index = new ObjectMapper().readTree(directory.resolve("index.json").toFile());
    for (JsonNode vector : index.get("vectors")) {
      String name = vector.get("name").asText();
      compare(
          name,
          types.get(vector.get("type").asText()),
          JsonFormat.parser().usingTypeRegistry(registry));
    }
    return 0;
  }

  private void compare(String name, Descriptor type, JsonFormat.Parser parser) throws IOException {
    Map<String, Object> line = Lines.line("vector");
    line.put("name", name);
    DynamicMessage message = null;
    try {
      message =
          DynamicMessage.parseFrom(type, Files.readAllBytes(directory.resolve(name + ".bin")));
      line.put("binary", DynamicMessage.parseFrom(type, message.toByteString()).equals(message));
    } catch (InvalidProtocolBufferException unreadable) {
      line.put("binary", false);
    }
    try {
      DynamicMessage.Builder read = DynamicMessage.newBuilder(type);
      parser.merge(Files.readString(directory.resolve(name + ".json")), read);
      line.put("json", read.build().equals(message));
    } catch (InvalidProtocolBufferException unreadable) {
      line.put("json", false);
    }
    Lines.write(line);
  }
}
