<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use Psr\Log\LoggerInterface;

/**
 * A file that exists and is touched while the worker is healthy.
 *
 * @internal
 */
final class Health
{
    private bool $isBroken = false;

    public function __construct(private readonly string $file, private readonly LoggerInterface $logger)
    {
    }

    public function show(bool $healthy): void
    {
        $done = $healthy ? @touch($this->file) : $this->remove();
        if (!$done && !$this->isBroken) {
            $this->logger->error('health file cannot be written', ['file' => $this->file]);
        }
        $this->isBroken = !$done;
    }

    /** Removes the file: the worker is gone, or not well. */
    public function remove(): bool
    {
        return !file_exists($this->file) || @unlink($this->file);
    }
}
