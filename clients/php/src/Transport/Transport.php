<?php

declare(strict_types=1);

namespace ProtoJobs\Transport;

use ProtoJobs\Exception\ProtoJobsException;

/** Carries calls to the server. Knows nothing of jobs; neither repeats nor interprets a call. */
interface Transport
{
    /**
     * Makes a call with one answer and returns its bytes.
     *
     * @throws ProtoJobsException
     */
    public function unary(Call $call): string;

    /**
     * Makes a call whose answers come one by one; ends when the server does. Leaving the loop ends the call.
     *
     * @return \Generator<int, string>
     * @throws ProtoJobsException
     */
    public function serverStream(Call $call): \Generator;

    /** Closes the connection; the next call opens another one. */
    public function close(): void;
}
