<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\QueueNotFoundException;
use Protojobs\V1\ClearQueueRequest;
use Protojobs\V1\ClearQueueResponse;
use Protojobs\V1\PauseQueueRequest;
use Protojobs\V1\PauseQueueResponse;
use Protojobs\V1\ResumeQueueRequest;
use Protojobs\V1\ResumeQueueResponse;
use Protojobs\V1\StatsRequest;
use Protojobs\V1\StatsResponse;

/** The part of the client about queues. */
trait QueueCalls
{
    /**
     * Returns the numbers of one queue, or of all, by name.
     *
     * @return array<string, QueueStats>
     * @throws QueueNotFoundException for a queue that was never used
     */
    public function stats(?string $queue = null): array
    {
        $request = (new StatsRequest())->setQueue($queue ?? '');
        $found = [];
        foreach ($this->connection->call('QueueService/Stats', $request, StatsResponse::class)->getQueues() as $each) {
            $found[$each->getQueue()] = QueueStats::ofMessage($each);
        }
        return $found;
    }

    /**
     * Deletes jobs of a queue that do not run and returns how many.
     *
     * @param list<JobState> $states default: Scheduled, Pending and Retrying
     */
    public function clear(string $queue, array $states = []): int
    {
        $numbers = array_map(static fn (JobState $state): int => $state->number(), $states);
        $request = (new ClearQueueRequest())->setQueue($queue)->setStates($numbers);
        $deleted = 0;
        do {
            $answer = $this->connection->call('QueueService/ClearQueue', $request, ClearQueueResponse::class);
            $deleted += (int) $answer->getDeleted();
            $request->setContinuationToken($answer->getContinuationToken());
        } while ($answer->getContinuationToken() !== '');
        return $deleted;
    }

    /** Lets no job of the queue be leased until `resume`. Idempotent. */
    public function pause(string $queue): void
    {
        $request = (new PauseQueueRequest())->setQueue($queue);
        $this->connection->call('QueueService/PauseQueue', $request, PauseQueueResponse::class);
    }

    /** Undoes `pause`. Idempotent. */
    public function resume(string $queue): void
    {
        $request = (new ResumeQueueRequest())->setQueue($queue);
        $this->connection->call('QueueService/ResumeQueue', $request, ResumeQueueResponse::class);
    }
}
