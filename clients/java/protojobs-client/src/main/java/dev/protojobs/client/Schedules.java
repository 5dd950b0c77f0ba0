package dev.protojobs.client;

import dev.protojobs.v1.Daily;
import dev.protojobs.v1.DeleteScheduleRequest;
import dev.protojobs.v1.Every;
import dev.protojobs.v1.GetScheduleRequest;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.ListSchedulesRequest;
import dev.protojobs.v1.ListSchedulesResponse;
import dev.protojobs.v1.PauseScheduleRequest;
import dev.protojobs.v1.PreviewScheduleRequest;
import dev.protojobs.v1.ResumeScheduleRequest;
import dev.protojobs.v1.Schedule;
import dev.protojobs.v1.ScheduleRequest;
import dev.protojobs.v1.ScheduleResponse;
import dev.protojobs.v1.ScheduleServiceGrpc;
import dev.protojobs.v1.ScheduleSpec;
import dev.protojobs.v1.TriggerScheduleRequest;
import dev.protojobs.v1.Weekday;
import dev.protojobs.v1.Weekly;
import java.time.DayOfWeek;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalTime;
import java.time.ZoneId;
import java.util.Collection;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Jobs at a time, and again and again. The same declaration again is the same schedule, whatever
 * program makes it.
 *
 * <p>Jobs of schedules take no id, delay or time of their own.
 */
public final class Schedules {
  private final Connection connection;
  private final BiFunction<JobRequest, String, JobSpec> toSpec;
  private final Learning learning;
  private final JobIds ids;

  Schedules(
      Connection connection,
      BiFunction<JobRequest, String, JobSpec> toSpec,
      Learning learning,
      JobIds ids) {
    this.connection = connection;
    this.toSpec = toSpec;
    this.learning = learning;
    this.ids = ids;
  }

  /** Makes a call with an id, and once more where the server's clock differs. */
  @FunctionalInterface
  interface Learning {
    String call(JobRequest job, Function<String, String> once);
  }

  /**
   * Schedules one job for a time and returns its id. A time in the past means at once.
   *
   * @param job what to run
   * @param time up to 10 years ahead
   */
  public String at(JobRequest job, Instant time) {
    return once(job, ScheduleSpec.newBuilder().setAt(Times.write(time)).build());
  }

  /**
   * Schedules one job for so long after the server has stored it, and returns its id.
   *
   * @param job what to run
   * @param wait 0 s to 10 years
   */
  public String in(JobRequest job, Duration wait) {
    return once(job, ScheduleSpec.newBuilder().setIn(Times.write(wait)).build());
  }

  private String once(JobRequest job, ScheduleSpec when) {
    return learning.call(
        job,
        id -> {
          Schedule schedule =
              Schedule.newBuilder().setSpec(when).setJob(toSpec.apply(job, id)).build();
          return send(ScheduleRequest.newBuilder().setSchedule(schedule).build()).getJobId();
        });
  }

  /**
   * Makes a job at a fixed distance in elapsed time, counted from when the schedule was made.
   *
   * @param name {@code [A-Za-z0-9._-]{1,128}}; empty for one made of kind, time and payload
   * @param job what to run
   * @param interval 1 s to 365 days
   */
  public Schedule every(String name, JobRequest job, Duration interval) {
    Every every = Every.newBuilder().setInterval(Times.write(interval)).build();
    return declare(name, job, ScheduleSpec.newBuilder().setEvery(every).build());
  }

  /**
   * Makes a job where five fields match the clock.
   *
   * @param name name of the schedule; empty for one made of kind, time and payload
   * @param job what to run
   * @param expression for example {@code 0 9 * * 1-5}; or one of the words {@code @hourly},
   *     {@code @daily} and so on
   * @param zone whose clock
   */
  public Schedule cron(String name, JobRequest job, String expression, ZoneId zone) {
    return declare(name, job, in(zone).setCron(expression).build());
  }

  /**
   * Makes a job each hour, when the clock shows this minute.
   *
   * @param name name of the schedule; empty for one made of kind, time and payload
   * @param job what to run
   * @param minute 0 to 59
   */
  public Schedule hourly(String name, JobRequest job, int minute) {
    return declare(name, job, ScheduleSpec.newBuilder().setCron(minute + " * * * *").build());
  }

  /**
   * Makes a job each day at local times. One that a change of the clocks skips runs at the change;
   * one that comes twice runs once.
   *
   * @param name name of the schedule; empty for one made of kind, time and payload
   * @param job what to run
   * @param times 1 to 48, to the second
   * @param zone whose clock
   */
  public Schedule daily(String name, JobRequest job, Collection<LocalTime> times, ZoneId zone) {
    return declare(
        name, job, in(zone).setDaily(Daily.newBuilder().addAllTimes(texts(times))).build());
  }

  /**
   * Makes a job on some days of the week at local times.
   *
   * @param name name of the schedule; empty for one made of kind, time and payload
   * @param job what to run
   * @param days 1 to 7
   * @param times 1 to 48, to the second
   * @param zone whose clock
   */
  public Schedule weekly(
      String name,
      JobRequest job,
      Collection<DayOfWeek> days,
      Collection<LocalTime> times,
      ZoneId zone) {
    Weekly.Builder weekly = Weekly.newBuilder().addAllTimes(texts(times));
    days.forEach(day -> weekly.addDays(Weekday.forNumber(day.getValue())));
    return declare(name, job, in(zone).setWeekly(weekly).build());
  }

  private static ScheduleSpec.Builder in(ZoneId zone) {
    return ScheduleSpec.newBuilder().setTimeZone(zone.getId().equals("Z") ? "UTC" : zone.getId());
  }

  private static List<String> texts(Collection<LocalTime> times) {
    return times.stream().map(time -> time.withNano(0).toString()).toList();
  }

  private Schedule declare(String name, JobRequest job, ScheduleSpec when) {
    return declare(Schedule.newBuilder().setName(name).setSpec(when).build(), job);
  }

  /**
   * Makes or changes a schedule by its name and returns it as stored.
   *
   * @param schedule when it ticks, catch-up, overlap, pause, etag; its job is replaced
   * @param job what each tick dispatches
   * @throws ProtoJobsException INVALID_FIELD for what never ticks, CONFLICT for an etag that does
   *     not match
   */
  public Schedule declare(Schedule schedule, JobRequest job) {
    Schedule told = schedule.toBuilder().setJob(toSpec.apply(job, "")).build();
    return send(ScheduleRequest.newBuilder().setSchedule(told).build()).getSchedule();
  }

  private ScheduleResponse send(ScheduleRequest request) {
    return connection.call(
        ScheduleServiceGrpc.getScheduleMethod(), request, connection.options().dispatchDeadline());
  }

  /** {@return the schedules by name} */
  public Stream<Schedule> list() {
    return Pages.stream(
        token -> {
          ListSchedulesRequest page =
              ListSchedulesRequest.newBuilder().setPageSize(100).setPageToken(token).build();
          ListSchedulesResponse answer =
              connection.call(ScheduleServiceGrpc.getListSchedulesMethod(), page);
          return new Pages.Page<>(answer.getSchedulesList(), answer.getNextPageToken());
        });
  }

  /**
   * Returns a schedule.
   *
   * @param name its name
   * @throws NotFoundException if there is none
   */
  public Schedule get(String name) {
    return connection
        .call(
            ScheduleServiceGrpc.getGetScheduleMethod(),
            GetScheduleRequest.newBuilder().setName(name).build())
        .getSchedule();
  }

  /**
   * Stops its ticks. Idempotent.
   *
   * @param name its name
   */
  public void pause(String name) {
    connection.call(
        ScheduleServiceGrpc.getPauseScheduleMethod(),
        PauseScheduleRequest.newBuilder().setName(name).build());
  }

  /**
   * Lets it tick again from now on; nothing of the pause is caught up. Idempotent.
   *
   * @param name its name
   */
  public void resume(String name) {
    connection.call(
        ScheduleServiceGrpc.getResumeScheduleMethod(),
        ResumeScheduleRequest.newBuilder().setName(name).build());
  }

  /**
   * Makes a job of the schedule now, whatever its ticks do, and returns the job's id.
   *
   * @param name its name
   */
  public String trigger(String name) {
    TriggerScheduleRequest request =
        TriggerScheduleRequest.newBuilder().setName(name).setJobId(ids.next()).build();
    return connection
        .call(
            ScheduleServiceGrpc.getTriggerScheduleMethod(),
            request,
            connection.options().dispatchDeadline())
        .getJobId();
  }

  /**
   * Removes a schedule; jobs that it made stay. Idempotent.
   *
   * @param name its name
   */
  public void delete(String name) {
    connection.call(
        ScheduleServiceGrpc.getDeleteScheduleMethod(),
        DeleteScheduleRequest.newBuilder().setName(name).build());
  }

  /**
   * Returns the next ticks of a specification that need not be saved.
   *
   * @param when when it ticks
   * @param count 1 to 100
   */
  public List<Instant> preview(ScheduleSpec when, int count) {
    PreviewScheduleRequest request =
        PreviewScheduleRequest.newBuilder().setSpec(when).setCount(count).build();
    return connection
        .call(ScheduleServiceGrpc.getPreviewScheduleMethod(), request)
        .getTimesList()
        .stream()
        .map(Times::read)
        .toList();
  }
}
