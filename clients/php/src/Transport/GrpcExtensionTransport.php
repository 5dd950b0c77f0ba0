<?php

declare(strict_types=1);

namespace ProtoJobs\Transport;

use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Options;
use ProtoJobs\Statuses;
use ProtoJobs\Version;

/**
 * gRPC by the extension `grpc`, for programs that have it anyway. Clients only: the extension does not survive a fork, so
 * workers use libcurl.
 */
final class GrpcExtensionTransport implements Transport
{
    private readonly Token $token;
    private ?\Grpc\Channel $channel = null;

    /** @throws \LogicException without the extension */
    public function __construct(private readonly Options $options)
    {
        if (!extension_loaded('grpc')) {
            throw new \LogicException('the extension grpc is not loaded');
        }
        $this->token = new Token($options->token, $options->tokenFile);
    }

    public function unary(Call $call): string
    {
        $answer = null;
        foreach ($this->serverStream($call) as $message) {
            $answer = $message;
        }
        return $answer ?? throw Statuses::of(StatusCode::Unavailable, 'the call ended without an answer');
    }

    public function serverStream(Call $call): \Generator
    {
        $deadline = $call->timeout === null
            ? \Grpc\Timeval::infFuture()
            : \Grpc\Timeval::now()->add(new \Grpc\Timeval((int) ($call->timeout * 1e6)));
        $running = new \Grpc\Call($this->channel(), $call->method, $deadline);
        try {
            $running->startBatch([
                \Grpc\OP_SEND_INITIAL_METADATA => $this->metadata($call),
                \Grpc\OP_SEND_MESSAGE => ['message' => $call->request],
                \Grpc\OP_SEND_CLOSE_FROM_CLIENT => true,
                \Grpc\OP_RECV_INITIAL_METADATA => true,
            ]);
            while (($event = $running->startBatch([\Grpc\OP_RECV_MESSAGE => true]))->message !== null) {
                yield $event->message;
            }
            $status = $running->startBatch([\Grpc\OP_RECV_STATUS_ON_CLIENT => true])->status;
            $code = StatusCode::tryFrom($status->code) ?? StatusCode::Unknown;
            if ($code !== StatusCode::Ok) {
                throw $this->error($code, $status);
            }
        } finally {
            $running->cancel();
        }
    }

    public function close(): void
    {
        $this->channel?->close();
        $this->channel = null;
    }

    private function error(StatusCode $code, object $status): ProtoJobsException
    {
        return Statuses::translate($code, $status->details, $status->metadata['grpc-status-details-bin'][0] ?? '');
    }

    private function channel(): \Grpc\Channel
    {
        return $this->channel ??= new \Grpc\Channel($this->options->address, [
            'credentials' => $this->options->usesTls() ? $this->credentials() : \Grpc\ChannelCredentials::createInsecure(),
            'grpc.primary_user_agent' => Version::SDK . '/' . Version::NUMBER,
            'grpc.max_receive_message_length' => $this->options->maxReceiveBytes,
            ...($this->options->serverName === null ? [] : ['grpc.ssl_target_name_override' => $this->options->serverName]),
        ]);
    }

    private function credentials(): \Grpc\ChannelCredentials
    {
        $read = static fn (?string $file): ?string => $file === null ? null : (string) file_get_contents($file);
        return \Grpc\ChannelCredentials::createSsl(
            $read($this->options->ca),
            $read($this->options->key),
            $read($this->options->cert),
        );
    }

    /** @return array<string, list<string>> */
    private function metadata(Call $call): array
    {
        $metadata = array_map(static fn (string $value): array => [$value], $call->metadata);
        $token = $this->token->header();
        return $token === null ? $metadata : [...$metadata, 'authorization' => [$token]];
    }
}
