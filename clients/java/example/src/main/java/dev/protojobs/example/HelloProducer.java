package dev.protojobs.example;

import dev.protojobs.client.Client;
import dev.protojobs.client.Dispatched;
import dev.protojobs.client.JobRequest;
import java.time.Duration;

/** Dispatches a job and prints its result. */
public final class HelloProducer {
  private HelloProducer() {}

  /**
   * Greets the world.
   *
   * @param arguments none
   */
  public static void main(String[] arguments) {
    try (Client client = Client.connect()) {
      JobRequest request =
          JobRequest.builder("greet").queue("greetings").data(new Greeting("world")).build();
      Dispatched dispatched = client.dispatch(request);
      System.out.println(
          client.jobs().result(dispatched.jobId(), String.class, Duration.ofSeconds(30)));
    }
  }
}
