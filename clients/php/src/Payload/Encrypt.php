<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

use ProtoJobs\Exception\UndecodableException;

/**
 * Encrypts and authenticates by AES-256-GCM. Needs the openssl extension.
 *
 * A payload is bound to its kind and queue, a result or checkpoint to its kind and job: elsewhere it does not decrypt.
 * Rotation: give all readers the new key beside the old one, then make it active, and drop the old one when nothing that
 * it encrypted is left. The size of a payload can be seen.
 */
final class Encrypt implements Codec
{
    private const QUEUE_BOUND = 1;
    private const NONCE_BYTES = 12;
    private const TAG_BYTES = 16;

    private readonly string $active;

    /**
     * @param array<string, string> $keys 32 random bytes by an id of 1 to 64 of [A-Za-z0-9._-], which is stored in the clear
     * @param string|null $active id of the key that encrypts; may be left out where there is one
     * @param bool $bindQueue false: jobs may be moved to other queues
     * @param bool $required refuses what is not encrypted: set it once all producers encrypt
     */
    public function __construct(
        #[\SensitiveParameter] private readonly array $keys,
        ?string $active = null,
        private readonly bool $bindQueue = true,
        private readonly bool $required = false,
    ) {
        foreach ($keys as $id => $key) {
            if (preg_match('/^[A-Za-z0-9._-]{1,64}$/D', (string) $id) !== 1) {
                throw new \ValueError('an id of a key is 1 to 64 of A-Z a-z 0-9 . _ -');
            }
            if (strlen($key) !== 32) {
                throw new \ValueError("key $id must have 32 bytes");
            }
        }
        if ($active === null && count($keys) !== 1) {
            throw new \ValueError('name the active key');
        }
        $this->active = $active ?? (string) array_key_first($keys);
        if (!isset($keys[$this->active])) {
            throw new \ValueError('the active key is not among the keys');
        }
    }

    public function encode(Payload $payload, PayloadContext $context): Payload
    {
        $flags = $this->bindQueue ? self::QUEUE_BOUND : 0;
        $key = $this->keys[$this->active];
        $head = Envelope::prefix(Envelope::AES_256_GCM) . chr($flags) . chr(strlen($this->active)) . $this->active;
        $associated = $head . self::bound($context, $flags);
        $content = Envelope::pack($payload);
        // Not random: a repeated dispatch must be the same bytes.
        $sizes = pack('NN', strlen($associated), strlen($context->jobId));
        $nonceKey = self::expand($key, 'protojobs.v1 nonce');
        $seed = hash_hmac('sha256', $sizes . $associated . $context->jobId . $content, $nonceKey, true);
        $nonce = substr($seed, 0, self::NONCE_BYTES);
        $sealed = openssl_encrypt(
            $content,
            'aes-256-gcm',
            self::expand($key, 'protojobs.v1 encrypt'),
            OPENSSL_RAW_DATA,
            $nonce,
            $tag,
            $associated,
            self::TAG_BYTES,
        );
        return new Payload($head . $nonce . $sealed . $tag, Payload::ENVELOPE);
    }

    public function decode(Payload $payload, PayloadContext $context): Payload
    {
        if (Envelope::method($payload) !== Envelope::AES_256_GCM) {
            if ($this->required && ($payload->data !== '' || $context->use === PayloadUse::Payload)) {
                throw UndecodableException::because('NOT_ENCRYPTED', "the {$context->use->value} is not encrypted");
            }
            return $payload;
        }
        $body = Envelope::body($payload);
        $flags = ord($body[0] ?? "\xff");
        $end = 2 + ord($body[1] ?? "\xff");
        if (strlen($body) < $end + self::NONCE_BYTES + self::TAG_BYTES || ($flags & ~self::QUEUE_BOUND) !== 0) {
            throw Envelope::corrupt();
        }
        $id = substr($body, 2, $end - 2);
        if (preg_match('/^[A-Za-z0-9._-]{1,64}$/D', $id) !== 1) {
            throw Envelope::corrupt();
        }
        if (!isset($this->keys[$id])) {
            throw UndecodableException::because('UNKNOWN_KEY', "there is no key $id here");
        }
        $content = openssl_decrypt(
            substr($body, $end + self::NONCE_BYTES, -self::TAG_BYTES),
            'aes-256-gcm',
            self::expand($this->keys[$id], 'protojobs.v1 encrypt'),
            OPENSSL_RAW_DATA,
            substr($body, $end, self::NONCE_BYTES),
            substr($body, -self::TAG_BYTES),
            Envelope::prefix(Envelope::AES_256_GCM) . substr($body, 0, $end) . self::bound($context, $flags),
        );
        if ($content === false) {
            $why = 'these bytes were changed, or belong to another key, kind, queue or job';
            throw UndecodableException::because('NOT_AUTHENTIC', $why);
        }
        return Envelope::unpack($content);
    }

    /** Returns what the bytes belong to. No name holds a line feed, so no two contexts read alike. */
    private static function bound(PayloadContext $context, int $flags): string
    {
        $isPayload = $context->use === PayloadUse::Payload;
        $queue = $isPayload && ($flags & self::QUEUE_BOUND) !== 0 ? $context->queue : '';
        return implode("\n", [$context->use->value, $context->kind, $queue, $isPayload ? '' : $context->jobId]);
    }

    /** Returns one block of HKDF-Expand by SHA-256 (RFC 5869); the key is uniformly random, so nothing is extracted. */
    private static function expand(string $key, string $info): string
    {
        return hash_hmac('sha256', $info . "\x01", $key, true);
    }

    /** @return array<string, mixed> everything but the keys */
    public function __debugInfo(): array
    {
        return ['active' => $this->active, 'keys' => array_keys($this->keys)];
    }
}
