<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\CursorExpiredException;
use ProtoJobs\Exception\OverloadedException;
use ProtoJobs\Exception\ProtoJobsException;
use Protojobs\V1\WatchJobsRequest;
use Protojobs\V1\WatchJobsResponse;

/** The part of the client about what happens. */
trait WatchCalls
{
    /** The server speaks every 10 s. */
    private const SILENCE = 35.0;

    /**
     * Loops over changes of jobs, for ever: from now on, or behind a cursor that was kept. Leave the loop to end it.
     *
     * A lost connection and a server that leaves are made good without a gap. Starts and progress come where the queue's
     * setting `events` is ALL.
     *
     * @param list<string> $queues
     * @param list<string> $kinds
     * @param list<JobState> $states those that changes lead to
     * @param array<string, string> $labels
     * @param (\Closure(): void)|null $onReady called once the server has answered: what happens from then on will come
     * @return \Generator<int, JobChange>
     * @throws CursorExpiredException when the cursor is older than 24 h
     */
    public function watch(
        array $queues = [],
        array $kinds = [],
        array $states = [],
        array $labels = [],
        string $cursor = '',
        ?\Closure $onReady = null,
    ): \Generator {
        $request = (new WatchJobsRequest())->setFilter($this->jobFilter($queues, $kinds, $states, $labels));
        $backoff = new Backoff();
        $giveUpAt = Times::monotonic() + $this->connection->options->callTimeout;
        while (true) {
            try {
                $request->setCursor($cursor);
                $answers = $this->connection->stream('JobService/WatchJobs', $request, WatchJobsResponse::class, self::SILENCE);
                foreach ($answers as $answer) {
                    [$giveUpAt, $ready, $onReady] = [INF, $onReady, null];
                    $backoff->reset();
                    if ($ready !== null) {
                        $ready();
                    }
                    foreach ($answer->getEvents() as $event) {
                        $cursor = $event->getCursor();
                        yield JobChange::ofMessage($event);
                    }
                    $cursor = $answer->getCursor();
                }
                Connection::sleep(Backoff::uniform(0.0, 0.2)); // a server that drains ends its streams
            } catch (ProtoJobsException $error) {
                $wait = $error instanceof OverloadedException ? $backoff->next() : $backoff->after($error);
                if ($wait === null || Times::monotonic() + $wait >= $giveUpAt) {
                    throw $error;
                }
                Connection::sleep($wait);
            }
        }
    }
}
