<?php

declare(strict_types=1);

namespace ProtoJobs\Transport;

use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Statuses;

/**
 * What comes back on one HTTP/2 stream: header blocks, and the messages of the body.
 *
 * @internal
 */
final class CurlExchange
{
    private const PREFIX_BYTES = 5;

    /** @var list<string> */
    private array $messages = [];
    private string $buffer = '';
    private int $httpStatus = 0;
    private bool $hasBegun = false;
    /** @var array<string, string> */
    private array $headers = [];
    private ?ProtoJobsException $refusal = null;

    public function __construct(private readonly int $maxReceiveBytes)
    {
    }

    /** An answer of HTTP/2 has begun. */
    public function hasBegun(): bool
    {
        return $this->hasBegun;
    }

    /** Takes a line of headers or trailers; libcurl gives both here. Returns its length. */
    public function header(string $line): int
    {
        $text = trim($line);
        if (preg_match('#^HTTP/([\d.]+) (\d{3})#', $text, $found) === 1) {
            $this->hasBegun = $found[1] === '2';
            $this->httpStatus = (int) $found[2];
            $this->headers = [];
        } elseif (str_contains($text, ':')) {
            [$name, $value] = explode(':', $text, 2);
            $this->headers[strtolower(trim($name))] = trim($value);
        }
        return strlen($line);
    }

    /** Takes a piece of the body. Returns how much was taken: less than given ends the call. */
    public function body(string $piece): int
    {
        if ($this->httpStatus !== 200) {
            return strlen($piece); // a page of some proxy
        }
        $this->buffer .= $piece;
        while (strlen($this->buffer) >= self::PREFIX_BYTES) {
            ['compressed' => $compressed, 'size' => $size] = (array) unpack('Ccompressed/Nsize', $this->buffer);
            if ($compressed !== 0) {
                $this->refusal = Statuses::of(StatusCode::Internal, 'the answer is compressed, which was not asked for');
                return 0;
            }
            if ($size > $this->maxReceiveBytes) {
                $why = "the answer has $size bytes, more than max_receive_bytes ({$this->maxReceiveBytes})";
                $this->refusal = Statuses::of(StatusCode::ResourceExhausted, $why);
                return 0;
            }
            if (strlen($this->buffer) < self::PREFIX_BYTES + $size) {
                break;
            }
            $this->messages[] = substr($this->buffer, self::PREFIX_BYTES, $size);
            $this->buffer = substr($this->buffer, self::PREFIX_BYTES + $size);
        }
        return strlen($piece);
    }

    /** @return list<string> the messages that have come since the last call */
    public function takeMessages(): array
    {
        $messages = $this->messages;
        $this->messages = [];
        return $messages;
    }

    /** Says how the call ended: null if well. $code and $error are libcurl's. */
    public function error(int $code, string $error): ?ProtoJobsException
    {
        if ($this->refusal !== null) {
            return $this->refusal;
        }
        $status = $this->headers['grpc-status'] ?? null;
        if ($status !== null && ctype_digit($status)) {
            $known = StatusCode::tryFrom((int) $status) ?? StatusCode::Unknown;
            if ($known === StatusCode::Ok) {
                return null;
            }
            $details = base64_decode($this->headers['grpc-status-details-bin'] ?? '', true);
            return Statuses::translate($known, rawurldecode($this->headers['grpc-message'] ?? ''), $details ?: '');
        }
        if ($code !== CURLE_OK) {
            return CurlErrors::translate($code, $error);
        }
        return $this->httpStatus === 200
            ? Statuses::of(StatusCode::Unavailable, 'the connection was lost')
            : Statuses::of(self::byHttpStatus($this->httpStatus), "HTTP status {$this->httpStatus} instead of an answer of gRPC");
    }

    private static function byHttpStatus(int $status): StatusCode
    {
        return match ($status) {
            400 => StatusCode::Internal,
            401 => StatusCode::Unauthenticated,
            403 => StatusCode::PermissionDenied,
            404 => StatusCode::Unimplemented,
            429, 502, 503, 504 => StatusCode::Unavailable,
            default => StatusCode::Unknown,
        };
    }
}
