<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * Forks processes that share nothing with the worker but one socket each.
 *
 * @internal
 */
final class Forks
{
    private const GROUP_SIGNALS = [SIGTERM, SIGINT, SIGHUP, SIGUSR1];

    /** @var array<int, Pipe> the worker's ends, by process */
    private array $pipes = [];

    /**
     * Runs $main in a new process, which never returns from here. Signals for the worker pass by it; SIGUSR2, by which the
     * worker speaks to it, is held back until it says that it is ready.
     *
     * @param \Closure(Pipe): void $main
     * @return array{int, Pipe} process id and our end
     */
    public function fork(\Closure $main): array
    {
        [$mine, $theirs] = Pipe::pair();
        pcntl_sigprocmask(SIG_BLOCK, [...self::GROUP_SIGNALS, SIGUSR2], $before);
        $pid = pcntl_fork();
        if ($pid === -1) {
            pcntl_sigprocmask(SIG_SETMASK, $before);
            throw new \RuntimeException('no process can be forked: ' . pcntl_strerror(pcntl_get_last_error()));
        }
        if ($pid === 0) {
            $mine->close();
            foreach ($this->pipes as $pipe) {
                $pipe->close();
            }
            $this->pipes = [];
            // Terminals and service managers signal whole groups; how this process ends is for the worker to say. Caught and
            // not ignored: programs that a handler starts would inherit that.
            foreach (self::GROUP_SIGNALS as $signal) {
                pcntl_signal($signal, static fn () => null);
            }
            pcntl_sigprocmask(SIG_UNBLOCK, self::GROUP_SIGNALS);
            mt_srand();
            $main($theirs);
            // Not exit(): what the program has registered for its own end, and connections of its own, are not for this process.
            posix_kill((int) getmypid(), SIGKILL);
            exit(0);
        }
        pcntl_sigprocmask(SIG_SETMASK, $before);
        $theirs->close();
        $this->pipes[$pid] = $mine;
        return [$pid, $mine];
    }

    /** Waits for the end of a process that has closed its socket, and forgets it. Returns its exit code, or 128 + the signal. */
    public function reap(int $pid): int
    {
        $status = 0;
        for ($look = 0; $look < 50 && pcntl_waitpid($pid, $status, WNOHANG) === 0; $look++) {
            usleep(2000);
        }
        if ($look === 50) {
            posix_kill($pid, SIGKILL);
            pcntl_waitpid($pid, $status);
        }
        if (isset($this->pipes[$pid])) {
            $this->pipes[$pid]->close();
            unset($this->pipes[$pid]);
        }
        return pcntl_wifsignaled($status) ? 128 + (int) pcntl_wtermsig($status) : (int) pcntl_wexitstatus($status);
    }

    /** Kills a process at once. */
    public function kill(int $pid): void
    {
        posix_kill($pid, SIGKILL);
        $this->reap($pid);
    }
}
