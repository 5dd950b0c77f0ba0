<?php

declare(strict_types=1);

namespace ProtoJobs\Transport;

use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Options;
use ProtoJobs\Statuses;
use ProtoJobs\Times;
use ProtoJobs\Version;

/**
 * gRPC by libcurl: HTTP/2 with prior knowledge, or with TLS; calls that are made at once share one connection.
 *
 * Files of certificates may change: the next call after that opens a new connection. After a fork the child opens its own.
 */
final class CurlGrpcTransport implements Transport
{
    private const CONNECT_SECONDS = 5.0;
    private const LOOK_SECONDS = 0.5;
    /** CURLINFO_NUM_CONNECTS, which PHP has no name for. */
    private const NUM_CONNECTS = 0x200000 + 26;

    /** @var list<\CurlMultiHandle> connections of the process that this one was forked from: closing them would end its calls */
    private static array $inherited = [];

    private readonly Token $token;
    private ?\CurlMultiHandle $multi = null;
    private int $pid = 0;
    private string $stamp = '';
    private int $place = 0;
    /** A connection without TLS has answered. */
    private bool $isOpen = false;
    /** @var array<int, int> how transfers have ended, by the id of their handle */
    private array $ended = [];

    /**
     * Connects with the first call, not before.
     *
     * @throws \LogicException where the curl extension cannot speak HTTP/2
     */
    public function __construct(private readonly Options $options)
    {
        if (!defined('CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE') || !(curl_version()['features'] & CURL_VERSION_HTTP2)) {
            throw new \LogicException('the curl extension is built without HTTP/2');
        }
        $this->token = new Token($options->token, $options->tokenFile);
    }

    public function unary(Call $call): string
    {
        $answer = null;
        foreach ($this->messages($call) as $message) {
            if ($answer !== null) {
                throw Statuses::of(StatusCode::Internal, 'more than one answer came');
            }
            $answer = $message;
        }
        return $answer ?? throw Statuses::of(StatusCode::Unavailable, 'the call ended without an answer');
    }

    public function serverStream(Call $call): \Generator
    {
        yield from $this->messages($call);
    }

    public function close(): void
    {
        $this->multi = null;
    }

    /** @return \Generator<int, string> */
    private function messages(Call $call): \Generator
    {
        $multi = $this->multi();
        $exchange = new CurlExchange($this->options->maxReceiveBytes);
        $easy = $this->easy($call, $exchange);
        $began = $heard = Times::monotonic();
        curl_multi_add_handle($multi, $easy);
        try {
            do {
                $code = $this->step($multi, $easy);
                $this->isOpen = $this->isOpen || $exchange->hasBegun();
                foreach ($exchange->takeMessages() as $message) {
                    yield $message;
                    $heard = Times::monotonic(); // who reads slowly finds no silence
                }
                if ($code === null) {
                    $this->wait($multi, $easy, $call, $began, $heard);
                } elseif ($this->isUpgrade($easy, $exchange, $code)) {
                    $this->forget($multi, $easy);
                    $this->isOpen = false;
                    $easy = $this->easy($call, $exchange);
                    curl_multi_add_handle($multi, $easy);
                    $code = null;
                }
            } while ($code === null);
            $error = $this->error($exchange, $easy, $code);
            if ($error !== null) {
                throw $error;
            }
        } finally {
            if (!isset($this->ended[spl_object_id($easy)]) && $this->multi === $multi) {
                // A call that is left before its end: libcurl tells the server only when the connection closes.
                $this->multi = null;
            }
            $this->forget($multi, $easy);
        }
    }

    private function forget(\CurlMultiHandle $multi, \CurlHandle $easy): void
    {
        curl_multi_remove_handle($multi, $easy);
        unset($this->ended[spl_object_id($easy)]);
    }

    /**
     * Tells whether libcurl had to open a connection where one was to be used again, and asked there for an upgrade of
     * HTTP/1.1: no server of gRPC reads a call in that.
     */
    private function isUpgrade(\CurlHandle $easy, CurlExchange $exchange, int $code): bool
    {
        return $code !== CURLE_OK
            && $this->isOpen
            && self::cannotReuse()
            && !$this->options->usesTls()
            && !$exchange->hasBegun()
            && curl_getinfo($easy, self::NUM_CONNECTS) > 0;
    }

    /** libcurl before 8.0 refuses to use a connection again that was opened with prior knowledge, where that is asked for again. */
    private static function cannotReuse(): bool
    {
        return curl_version()['version_number'] < 0x080000;
    }

    /** Lets libcurl work. Returns its code once the transfer is over. */
    private function step(\CurlMultiHandle $multi, \CurlHandle $easy): ?int
    {
        curl_multi_exec($multi, $running);
        while (($done = curl_multi_info_read($multi)) !== false) {
            $this->ended[spl_object_id($done['handle'])] = $done['result'];
        }
        return $this->ended[spl_object_id($easy)] ?? null;
    }

    /** Waits for something to happen; ends the call whose time is over. */
    private function wait(\CurlMultiHandle $multi, \CurlHandle $easy, Call $call, float $began, float $heard): void
    {
        $now = Times::monotonic();
        $left = self::LOOK_SECONDS;
        if ($call->timeout !== null) {
            $left = min($left, $began + $call->timeout - $now);
            if ($left <= 0) {
                if ($this->isConnected($easy)) {
                    throw Statuses::of(StatusCode::DeadlineExceeded, 'the deadline passed');
                }
                $this->place++;
                throw $this->unreachable('no connection comes about');
            }
        }
        if ($call->silence !== null && $now >= $heard + $call->silence) {
            throw Statuses::of(StatusCode::Unavailable, 'the stream is silent');
        }
        if ($call->isWanted !== null && !($call->isWanted)()) {
            throw new ProtoJobsException('the call was given up', StatusCode::Cancelled);
        }
        if (curl_multi_select($multi, max(0.001, $left)) === -1) {
            usleep(1000); // libcurl has no socket yet, or a signal came
        }
    }

    private function error(CurlExchange $exchange, \CurlHandle $easy, int $code): ?ProtoJobsException
    {
        if ($code !== CURLE_OK && !$this->isConnected($easy)) {
            $this->place++;
        }
        if ($code === CURLE_OPERATION_TIMEOUTED && !$this->isConnected($easy)) {
            return $this->unreachable('no connection comes about');
        }
        return $exchange->error($code, curl_error($easy));
    }

    private function unreachable(string $why): ProtoJobsException
    {
        return Statuses::of(StatusCode::Unavailable, "no server answers at {$this->options->address}: $why");
    }

    private function isConnected(\CurlHandle $easy): bool
    {
        return curl_getinfo($easy, CURLINFO_PRETRANSFER_TIME) > 0;
    }

    private function easy(Call $call, CurlExchange $exchange): \CurlHandle
    {
        $addresses = $this->options->addresses();
        $address = $addresses[$this->place % count($addresses)];
        $easy = curl_init();
        // Shorter than the call: libcurl's own error says more.
        $connect = min(self::CONNECT_SECONDS, ($call->timeout ?? INF) / 2);
        curl_setopt_array($easy, [
            CURLOPT_POST => true,
            CURLOPT_POSTFIELDS => "\0" . pack('N', strlen($call->request)) . $call->request,
            CURLOPT_HTTPHEADER => $this->headers($call),
            CURLOPT_USERAGENT => sprintf('%s/%s grpc-php-curl', Version::SDK, Version::NUMBER),
            CURLOPT_NOSIGNAL => true,
            CURLOPT_CONNECTTIMEOUT_MS => max(1, (int) ($connect * 1000)),
            CURLOPT_TCP_NODELAY => true,
            CURLOPT_TCP_KEEPALIVE => true,
            CURLOPT_TCP_KEEPIDLE => 20,
            CURLOPT_TCP_KEEPINTVL => 10,
            CURLOPT_PIPEWAIT => true,
            CURLOPT_PROXY => '', // a proxy of HTTP/1.1 carries no gRPC
            CURLOPT_HEADERFUNCTION => static fn (\CurlHandle $handle, string $line): int => $exchange->header($line),
            CURLOPT_WRITEFUNCTION => static fn (\CurlHandle $handle, string $piece): int => $exchange->body($piece),
        ] + $this->security($address, $call->method) + $this->socket($address));
        return $easy;
    }

    /** @return array<int, mixed> */
    private function security(string $address, string $method): array
    {
        return $this->options->usesTls() ? $this->encrypted($address, $method) : $this->plain($address, $method);
    }

    /** @return array<int, mixed> */
    private function plain(string $address, string $method): array
    {
        $host = str_starts_with($address, 'unix:') ? 'localhost' : $address;
        $again = $this->isOpen && self::cannotReuse();
        return [
            CURLOPT_URL => "http://$host$method",
            CURLOPT_HTTP_VERSION => $again ? CURL_HTTP_VERSION_2_0 : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
            CURLOPT_FRESH_CONNECT => !$again && self::cannotReuse(),
        ];
    }

    /** @return array<int, mixed> */
    private function encrypted(string $address, string $method): array
    {
        $options = $this->options;
        $host = str_starts_with($address, 'unix:') ? 'localhost' : $address;
        $settings = [
            CURLOPT_URL => "https://$host$method",
            CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_2TLS,
            CURLOPT_SSL_VERIFYPEER => true,
            CURLOPT_SSL_VERIFYHOST => 2,
        ];
        if ($options->serverName !== null && !str_starts_with($address, 'unix:')) {
            // The certificate is looked at under this name; the connection goes where it went before.
            $port = parse_url("tcp://$address", PHP_URL_PORT) ?: 443;
            $settings[CURLOPT_URL] = "https://{$options->serverName}:$port$method";
            $settings[CURLOPT_CONNECT_TO] = ["{$options->serverName}:$port:$address"];
        }
        if ($options->ca !== null) {
            $settings[CURLOPT_CAINFO] = $options->ca;
            $settings[CURLOPT_CAPATH] = '/dev/null'; // the system's roots are not asked
        }
        if ($options->cert !== null) {
            $settings[CURLOPT_SSLCERT] = $options->cert;
            $settings[CURLOPT_SSLKEY] = $options->key;
        }
        return $settings;
    }

    /** @return array<int, mixed> */
    private function socket(string $address): array
    {
        return str_starts_with($address, 'unix:') ? [CURLOPT_UNIX_SOCKET_PATH => substr($address, 5)] : [];
    }

    /** @return list<string> */
    private function headers(Call $call): array
    {
        $headers = ['Content-Type: application/grpc', 'TE: trailers', 'Expect:', 'Accept:'];
        if ($call->timeout !== null) {
            // At most 8 digits are allowed; beyond a day milliseconds do not matter.
            $headers[] = $call->timeout < 90_000
                ? sprintf('grpc-timeout: %dm', max(1, (int) ($call->timeout * 1000)))
                : sprintf('grpc-timeout: %dS', (int) $call->timeout);
        }
        foreach ($call->metadata as $name => $value) {
            $headers[] = "$name: $value";
        }
        $token = $this->token->header();
        if ($token !== null) {
            $headers[] = "authorization: $token";
        }
        return $headers;
    }

    private function multi(): \CurlMultiHandle
    {
        $pid = (int) getmypid();
        if ($this->multi !== null && $pid !== $this->pid) {
            self::$inherited[] = $this->multi;
            $this->multi = null;
            $this->ended = [];
        }
        $stamp = $this->stamp();
        if ($this->multi === null || $stamp !== $this->stamp) {
            // Streams that are under way keep the old connection until they end.
            $this->multi = curl_multi_init();
            curl_multi_setopt($this->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
            [$this->pid, $this->stamp, $this->isOpen] = [$pid, $stamp, false];
        }
        return $this->multi;
    }

    /** Returns what changes with the files of certificates, and with the link of a mounted secret. */
    private function stamp(): string
    {
        $stamp = '';
        foreach ([$this->options->ca, $this->options->cert, $this->options->key] as $file) {
            if ($file !== null && $this->options->usesTls()) {
                clearstatcache(true, $file);
                $found = @stat($file);
                $stamp .= $found === false ? '-' : "{$found['mtime']}.{$found['ino']}.{$found['size']} ";
            }
        }
        return $stamp;
    }
}
