<?php

declare(strict_types=1);

namespace ProtoJobs;

use Psr\Log\AbstractLogger;
use Psr\Log\LogLevel;

/** Writes one line per record to stderr: time, level, message and its fields. For programs that have no logger of their own. */
final class StderrLogger extends AbstractLogger
{
    private const LEVELS = [LogLevel::DEBUG, LogLevel::INFO, LogLevel::NOTICE, LogLevel::WARNING, LogLevel::ERROR,
        LogLevel::CRITICAL, LogLevel::ALERT, LogLevel::EMERGENCY];

    private readonly int $least;

    /** @param string $level the least that is written: debug, info, warning, error, ... */
    public function __construct(string $level = LogLevel::INFO)
    {
        $place = array_search($level, self::LEVELS, true);
        $this->least = is_int($place) ? $place : throw new \ValueError("no level is called '$level'");
    }

    /**
     * @param mixed $level
     * @param string|\Stringable $message
     * @param array<string, mixed> $context
     */
    public function log($level, $message, array $context = []): void
    {
        if (array_search($level, self::LEVELS, true) < $this->least) {
            return;
        }
        $fields = '';
        foreach ($context as $name => $value) {
            $fields .= ' ' . $name . '=' . match (true) {
                $value instanceof \Throwable => $value::class . ': ' . $value->getMessage(),
                is_scalar($value) || $value === null => var_export($value, true),
                default => get_debug_type($value),
            };
        }
        fwrite(STDERR, sprintf("%s %s %s%s\n", date('H:i:s'), strtoupper((string) $level), $message, $fields));
    }
}
