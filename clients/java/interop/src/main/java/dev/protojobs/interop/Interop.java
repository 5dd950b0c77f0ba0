package dev.protojobs.interop;

import dev.protojobs.client.ProtoJobsException;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** The program that clients of all languages are compared by. */
@Command(
    name = "interop",
    mixinStandardHelpOptions = true,
    subcommands = {
      DispatchCommand.class,
      JobCommands.Get.class,
      JobCommands.Cancel.class,
      JobCommands.Retry.class,
      JobCommands.Failed.class,
      JobCommands.Stats.class,
      ScheduleCommand.class,
      WatchCommand.class,
      WorkCommand.class,
      VectorsCommand.class
    })
public final class Interop {
  private Interop() {}

  /**
   * Runs a command and exits: 0 well, 2 wrong usage, 1 otherwise.
   *
   * @param arguments command and options
   */
  public static void main(String[] arguments) {
    CommandLine line = new CommandLine(new Interop());
    line.setExecutionExceptionHandler(
        (error, command, parsed) -> {
          if (error instanceof ProtoJobsException refused) {
            Lines.error(refused, null);
            return 1;
          }
          throw error;
        });
    System.exit(line.execute(arguments));
  }
}
