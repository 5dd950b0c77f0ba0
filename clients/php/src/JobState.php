<?php

declare(strict_types=1);

namespace ProtoJobs;

/** Where a job stands. */
enum JobState: string
{
    case Scheduled = 'scheduled';
    case Pending = 'pending';
    case Running = 'running';
    case Retrying = 'retrying';
    case Completed = 'completed';
    case Failed = 'failed';
    case Cancelled = 'cancelled';
    case Expired = 'expired';
    /** Of a later version than this client. */
    case Unknown = 'unknown';

    /** The job will not run again unless somebody retries it. */
    public function isFinal(): bool
    {
        return in_array($this, [self::Completed, self::Failed, self::Cancelled, self::Expired], true);
    }

    /** Reads the number of the contract. */
    public static function ofNumber(int $number): self
    {
        return self::cases()[$number - 1] ?? self::Unknown;
    }

    /**
     * Returns the number of the contract.
     *
     * @throws \ValueError for Unknown, which no job is in
     */
    public function number(): int
    {
        if ($this === self::Unknown) {
            throw new \ValueError('no job is in state unknown');
        }
        return (int) array_search($this, self::cases(), true) + 1;
    }
}
