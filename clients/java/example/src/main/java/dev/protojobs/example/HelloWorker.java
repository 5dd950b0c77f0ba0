package dev.protojobs.example;

import dev.protojobs.worker.Worker;

/** Greets whoever a job names, until it is stopped. */
public final class HelloWorker {
  private HelloWorker() {}

  /**
   * Works until SIGTERM or Ctrl-C.
   *
   * @param arguments none
   */
  public static void main(String[] arguments) {
    Worker worker =
        Worker.builder()
            .queue("greetings")
            .handle("greet", Greeting.class, (job, greeting) -> "Hello, " + greeting.name() + "!")
            .build();
    System.exit(worker.run().code());
  }
}
