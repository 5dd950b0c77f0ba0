package dev.protojobs.interop;

import dev.protojobs.worker.ExitReason;
import dev.protojobs.worker.WorkerListener;
import java.util.Map;

/** Tells of a worker's streams and of its leaving, and nothing of its jobs. */
class WorkLines implements WorkerListener {
  @Override
  public void connected(String session, boolean resumed) {
    Map<String, Object> line = Lines.line("ready");
    line.put("session", session);
    line.put("resumed", resumed);
    Lines.write(line);
  }

  @Override
  public void draining() {
    Lines.write(Lines.line("draining"));
  }

  @Override
  public void stopped(ExitReason reason, long processed) {
    Map<String, Object> line = Lines.line("stopped");
    line.put("processed", processed);
    Lines.write(line);
  }
}
