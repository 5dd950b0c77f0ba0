<?php

declare(strict_types=1);

namespace ProtoJobs\Tests\Support;

/** A program that a test has started, and what it says line by line. It ends with the test. */
final class Child
{
    private const PATIENCE = 40.0;

    /** @var resource */
    private mixed $process;
    /** @var array<int, resource> */
    private array $pipes = [];
    private string $buffer = '';
    private readonly string $errors;
    private readonly string $output;
    /** @var resource */
    private mixed $reading;
    private ?int $code = null;

    /**
     * @param list<string> $command
     * @param array<string, string> $environment
     */
    public function __construct(array $command, array $environment = [], ?string $directory = null)
    {
        $this->errors = (string) tempnam(sys_get_temp_dir(), 'protojobs');
        // Files: a program never waits for a test to read what it says.
        $this->output = (string) tempnam(sys_get_temp_dir(), 'protojobs');
        $files = [['pipe', 'r'], ['file', $this->output, 'w'], ['file', $this->errors, 'w']];
        $isForeign = static fn (string $name): bool => !str_starts_with($name, 'PROTOJOBS_');
        $clean = array_filter(getenv(), $isForeign, ARRAY_FILTER_USE_KEY);
        $process = proc_open($command, $files, $this->pipes, $directory, [...$clean, ...$environment]);
        $this->process = is_resource($process) ? $process : throw new \RuntimeException('no process');
        $this->reading = fopen($this->output, 'r') ?: throw new \RuntimeException('no output');
    }

    public function __destruct()
    {
        $this->kill();
    }

    public function pid(): int
    {
        return (int) proc_get_status($this->process)['pid'];
    }

    public function say(string $line): void
    {
        fwrite($this->pipes[0], "$line\n");
        fflush($this->pipes[0]);
    }

    /** Returns the next line that the predicate takes; those before are passed over. */
    public function line(?\Closure $wanted = null): string
    {
        $end = microtime(true) + self::PATIENCE;
        while (true) {
            while (($place = strpos($this->buffer, "\n")) !== false) {
                $line = substr($this->buffer, 0, $place);
                $this->buffer = substr($this->buffer, $place + 1);
                if ($wanted === null || $wanted($line)) {
                    return $line;
                }
            }
            $ended = $this->hasEnded();
            $piece = (string) fread($this->reading, 65_536);
            $this->buffer .= $piece;
            if ($piece === '' && !$ended) {
                usleep(5000);
            }
            if (microtime(true) > $end || ($piece === '' && $ended)) {
                throw new \RuntimeException('the program has not said it: ' . substr($this->errors(), -3000));
            }
        }
    }

    /**
     * Returns the next JSON line of this event whose fields have these values.
     *
     * @param array<string, mixed> $fields
     * @return array<string, mixed>
     */
    public function event(string $event, array $fields = []): array
    {
        $line = $this->line(static function (string $line) use ($event, $fields): bool {
            $found = json_decode($line, true);
            return is_array($found) && ($found['event'] ?? null) === $event && array_intersect_key($found, $fields) == $fields;
        });
        return json_decode($line, true);
    }

    /** Waits for the end and returns the exit code. */
    public function wait(): int
    {
        $end = microtime(true) + self::PATIENCE;
        while (!$this->hasEnded()) {
            if (microtime(true) > $end) {
                throw new \RuntimeException('the program has not ended: ' . substr($this->errors(), -3000));
            }
            usleep(10_000);
        }
        return (int) $this->code;
    }

    public function isRunning(): bool
    {
        return !$this->hasEnded();
    }

    private function hasEnded(): bool
    {
        if ($this->code === null) {
            $status = proc_get_status($this->process);
            if (!$status['running']) {
                $this->code = $status['signaled'] ? 128 + $status['termsig'] : $status['exitcode'];
            }
        }
        return $this->code !== null;
    }

    public function signal(int $signal): void
    {
        proc_terminate($this->process, $signal);
    }

    public function kill(): void
    {
        if (is_resource($this->process)) {
            proc_terminate($this->process, SIGKILL);
            array_map('fclose', array_filter($this->pipes, 'is_resource'));
            proc_close($this->process);
            @unlink($this->errors);
            @unlink($this->output);
        }
    }

    /** Everything that is left to read. */
    public function rest(): string
    {
        return $this->buffer . stream_get_contents($this->reading);
    }

    public function errors(): string
    {
        return (string) @file_get_contents($this->errors);
    }
}
