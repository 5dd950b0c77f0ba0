<?php

declare(strict_types=1);

namespace ProtoJobs;

/**
 * Where the server is and how patiently to talk to it; the same names as in the other languages.
 *
 * Without TLS only to loopback addresses, unless `insecure` says so; anywhere else TLS is used, with the system's roots
 * unless `ca` names others. Times are seconds.
 */
final class Options
{
    /** Where a server on this machine listens. */
    public const DEFAULT_ADDRESS = '127.0.0.1:50051';

    private const FLAGS = ['1' => true, 'true' => true, 'yes' => true, 'on' => true,
        '0' => false, 'false' => false, 'no' => false, 'off' => false, '' => false];

    /**
     * @param string $address host:port, several separated by commas (tried in turn), or unix:/path
     * @param string|null $token sent as `authorization: Bearer`
     * @param string|null $tokenFile instead of token; read again when it changes
     * @param string|null $ca PEM file of the roots to trust; switches TLS on
     * @param string|null $cert PEM file of the client's certificate chain; with key
     * @param string|null $key PEM file of the client's private key; with cert
     * @param string|null $serverName name to expect in the server's certificate instead of the host
     * @param bool $tls TLS to this machine, too; elsewhere it is used anyway
     * @param bool $insecure no TLS, wherever the server is
     * @param float $dispatchDeadline of one try of a dispatch or settle
     * @param float $readDeadline of one try of anything else
     * @param float $callTimeout of a call with its retries
     * @param int $maxMessageBytes largest message to send: what the server reads
     * @param int $maxReceiveBytes largest message to take
     * @throws \ValueError for what cannot work
     */
    public function __construct(
        public readonly string $address = self::DEFAULT_ADDRESS,
        #[\SensitiveParameter] public readonly ?string $token = null,
        public readonly ?string $tokenFile = null,
        public readonly ?string $ca = null,
        public readonly ?string $cert = null,
        public readonly ?string $key = null,
        public readonly ?string $serverName = null,
        public readonly bool $tls = false,
        public readonly bool $insecure = false,
        public readonly float $dispatchDeadline = 5.0,
        public readonly float $readDeadline = 10.0,
        public readonly float $callTimeout = 30.0,
        public readonly int $maxMessageBytes = 4 * 1024 * 1024,
        public readonly int $maxReceiveBytes = 16 * 1024 * 1024,
    ) {
        if ($this->addresses() === []) {
            throw new \ValueError('address is empty');
        }
        if ($token !== null && $tokenFile !== null) {
            throw new \ValueError('token and tokenFile exclude each other');
        }
        if (($cert === null) !== ($key === null)) {
            throw new \ValueError('cert and key belong together');
        }
        if ($insecure && ($ca !== null || $cert !== null || $tls)) {
            throw new \ValueError('insecure and ca, cert or tls exclude each other');
        }
        if (min($dispatchDeadline, $readDeadline, $callTimeout) <= 0) {
            throw new \ValueError('dispatchDeadline, readDeadline and callTimeout must be more than 0 s');
        }
        if (min($maxMessageBytes, $maxReceiveBytes) < 64 * 1024) {
            throw new \ValueError('maxMessageBytes and maxReceiveBytes must be at least 64 KiB');
        }
    }

    /**
     * Reads PROTOJOBS_ADDRESS, _TOKEN, _TOKEN_FILE, _CA, _CERT, _KEY, _SERVER_NAME, _INSECURE, _CALL_TIMEOUT (seconds).
     *
     * Empty and absent variables leave the default; what is given by name goes before the environment.
     *
     * @param array<string, string>|null $environment instead of the process's own
     */
    public static function fromEnvironment(?array $environment = null, mixed ...$given): self
    {
        $environment ??= getenv();
        $names = ['address' => 'ADDRESS', 'token' => 'TOKEN', 'tokenFile' => 'TOKEN_FILE', 'ca' => 'CA', 'cert' => 'CERT',
            'key' => 'KEY', 'serverName' => 'SERVER_NAME'];
        $values = [];
        foreach ($names as $option => $name) {
            if (($environment["PROTOJOBS_$name"] ?? '') !== '') {
                $values[$option] = $environment["PROTOJOBS_$name"];
            }
        }
        $insecure = strtolower($environment['PROTOJOBS_INSECURE'] ?? '');
        if (!isset(self::FLAGS[$insecure])) {
            throw new \ValueError("PROTOJOBS_INSECURE must be true or false, not '$insecure'");
        }
        $values['insecure'] = self::FLAGS[$insecure];
        if (($environment['PROTOJOBS_CALL_TIMEOUT'] ?? '') !== '') {
            $values['callTimeout'] = (float) $environment['PROTOJOBS_CALL_TIMEOUT'];
        }
        if (isset($given['tokenFile'])) {
            unset($values['token']);
        }
        if (isset($given['token'])) {
            unset($values['tokenFile']);
        }
        return new self(...[...$values, ...array_filter($given, static fn (mixed $value): bool => $value !== null)]);
    }

    /** The connection is encrypted and the server's certificate checked. */
    public function usesTls(): bool
    {
        if ($this->insecure) {
            return false;
        }
        return $this->tls || $this->ca !== null || $this->cert !== null || !$this->isLoopback();
    }

    /** @return list<string> host:port of each server, or unix:/path */
    public function addresses(): array
    {
        if (str_starts_with($this->address, 'unix:')) {
            return ['unix:' . preg_replace('#^unix:(//)?#', '', $this->address)];
        }
        $plain = (string) preg_replace('#^(dns|ipv4|ipv6):(//[^/]*/)?#', '', trim($this->address));
        $parts = array_map('trim', explode(',', $plain));
        return array_values(array_filter($parts, static fn (string $part): bool => $part !== ''));
    }

    private function isLoopback(): bool
    {
        foreach ($this->addresses() as $address) {
            $host = trim((string) preg_replace('/:\d+$/', '', $address), '[]');
            $isHere = in_array($host, ['localhost', '::1'], true) || preg_match('/^127(\.\d+){3}$/D', $host) === 1;
            if (!$isHere && !str_starts_with($address, 'unix:')) {
                return false;
            }
        }
        return true;
    }

    /** @return array<string, mixed> everything but the token */
    public function __debugInfo(): array
    {
        return [...get_object_vars($this), 'token' => $this->token === null ? null : '(hidden)'];
    }
}
