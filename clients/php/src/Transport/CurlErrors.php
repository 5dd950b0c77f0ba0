<?php

declare(strict_types=1);

namespace ProtoJobs\Transport;

use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Statuses;

/**
 * What libcurl's errors mean for a call.
 *
 * @internal
 */
final class CurlErrors
{
    /** Errors of a TLS handshake: libcurl's words say what is wrong with which certificate. */
    private const HANDSHAKE = [
        CURLE_SSL_CONNECT_ERROR,
        CURLE_SSL_PEER_CERTIFICATE,
        CURLE_SSL_CERTPROBLEM,
        CURLE_SSL_CIPHER,
        CURLE_SSL_CACERT_BADFILE,
        58,
        60,
    ];

    /** Returns the exception for a failed transfer. Whatever is wrong with a connection may pass: UNAVAILABLE. */
    public static function translate(int $code, string $error): ProtoJobsException
    {
        $words = $error === '' ? (string) curl_strerror($code) : $error;
        if ($code === CURLE_OPERATION_TIMEOUTED) {
            return Statuses::of(StatusCode::DeadlineExceeded, 'the deadline passed');
        }
        if (in_array($code, self::HANDSHAKE, true)) {
            return Statuses::of(StatusCode::Unavailable, "the TLS handshake failed: $words");
        }
        return Statuses::of(StatusCode::Unavailable, "no server answers: $words");
    }
}
