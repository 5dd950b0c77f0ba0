<?php

// Reads envelopes as docs/protocol.md describes them, written from that page alone. Prints every vector that it reads otherwise.

const MAGIC = "\xf5PJ\x01";

function expand(string $key, string $info): string
{
    return hash_hmac('sha256', $info . "\x01", $key, true);
}

function unpackContent(string $content): array
{
    $length = $content === '' ? 0 : ord($content[0]);
    if ($content === '' || strlen($content) < 1 + $length) {
        throw new RuntimeException('CORRUPT');
    }
    return [substr($content, 1, $length), substr($content, 1 + $length)];
}

function inflate(string $body, int $encoding): string
{
    $context = inflate_init($encoding);
    $content = @inflate_add($context, $body, ZLIB_FINISH);
    if ($content === false || inflate_get_status($context) !== ZLIB_STREAM_END || inflate_get_read_len($context) !== strlen($body)) {
        throw new RuntimeException('CORRUPT');
    }
    return $content;
}

function decrypt(string $envelope, array $context, array $keys): string
{
    $flags = ord($envelope[5] ?? "\xff");
    $length = ord($envelope[6] ?? "\xff");
    $head = substr($envelope, 0, 7 + $length);
    $sealed = substr($envelope, 7 + $length);
    if ($flags & ~1 || strlen($sealed) < 28) {
        throw new RuntimeException('CORRUPT');
    }
    $key = $keys[substr($head, 7)] ?? throw new RuntimeException('UNKNOWN_KEY');
    $isPayload = $context['use'] === 'payload';
    $place = [$context['use'], $context['kind'], $isPayload && $flags & 1 ? $context['queue'] : '', $isPayload ? '' : $context['job_id']];
    $content = openssl_decrypt(
        substr($sealed, 12, -16),
        'aes-256-gcm',
        expand(hex2bin($key), 'protojobs.v1 encrypt'),
        OPENSSL_RAW_DATA,
        substr($sealed, 0, 12),
        substr($sealed, -16),
        $head . implode("\n", $place),
    );
    if ($content === false) {
        throw new RuntimeException('NOT_AUTHENTIC');
    }
    return $content;
}

function open(string $data, array $context, array $keys): array
{
    $mediaType = 'application/json';
    while (str_starts_with($data, MAGIC)) {
        $content = match (ord($data[4] ?? "\x00")) {
            1 => inflate(substr($data, 5), ZLIB_ENCODING_DEFLATE),
            2 => inflate(substr($data, 5), ZLIB_ENCODING_GZIP),
            3 => decrypt($data, $context, $keys),
            default => throw new RuntimeException('NO_CODEC'),
        };
        [$mediaType, $data] = unpackContent($content);
    }
    return [$mediaType, $data];
}

$vectors = json_decode(file_get_contents($argv[1]), true, flags: JSON_THROW_ON_ERROR);
foreach ($vectors['envelopes'] as $vector) {
    $read = open(hex2bin($vector['envelope']), $vector['context'], $vectors['keys']);
    if ($read !== [$vector['content_type'], hex2bin($vector['data'])]) {
        echo "read otherwise: {$vector['name']}\n";
    }
}
foreach ($vectors['refused'] as $vector) {
    try {
        open(hex2bin($vector['envelope']), $vector['context'], $vectors['keys']);
        echo "not refused: {$vector['name']}\n";
    } catch (RuntimeException $error) {
        if ($error->getMessage() !== $vector['reason']) {
            echo "refused as {$error->getMessage()}: {$vector['name']}\n";
        }
    }
}
echo count($vectors['envelopes']) + count($vectors['refused']), " vectors\n";
