<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Payload\Codec;
use ProtoJobs\Payload\PlainCodec;
use ProtoJobs\Transport\CurlGrpcTransport;
use ProtoJobs\Transport\Transport;
use Protojobs\V1\GetServerInfoRequest;
use Protojobs\V1\GetServerInfoResponse;
use Psr\Log\LoggerInterface;
use Psr\Log\NullLogger;

/**
 * Dispatches jobs and looks after them.
 *
 *     $client = new Client('127.0.0.1:50051');
 *     $client->dispatch('send_email', ['to' => 'ann@example.com'], queue: 'mail', delay: 30);
 *
 * Every call has a deadline and is repeated while its error may pass; ids of jobs are chosen here, so a repeat is safe.
 * All methods throw ProtoJobsException; the class tells which reason.
 */
final class Client
{
    use DispatchCalls;
    use JobCalls;
    use QueueCalls;
    use ScheduleCalls;
    use WatchCalls;

    private readonly Connection $connection;
    private readonly JobIds $ids;

    /**
     * @param Options|string|null $server an address, Options, or null for PROTOJOBS_* of the environment
     * @param Codec $codec what stands between your data and the server
     * @param Transport|null $transport default: libcurl
     */
    public function __construct(
        Options|string|null $server = null,
        private readonly Codec $codec = new PlainCodec(),
        ?Transport $transport = null,
        private readonly LoggerInterface $logger = new NullLogger(),
    ) {
        $options = $server instanceof Options ? $server : Options::fromEnvironment(address: $server);
        $this->connection = new Connection($options, $transport ?? new CurlGrpcTransport($options), $logger);
        $this->ids = new JobIds();
    }

    /** Where the server is. */
    public function options(): Options
    {
        return $this->connection->options;
    }

    /** Returns version, driver, capabilities and limits of the server. */
    public function serverInfo(): GetServerInfoResponse
    {
        return $this->connection->call('ServerService/GetServerInfo', new GetServerInfoRequest(), GetServerInfoResponse::class);
    }

    /** Closes the connection; the next call opens another one. */
    public function close(): void
    {
        $this->connection->transport->close();
    }
}
