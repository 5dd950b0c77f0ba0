<?php

declare(strict_types=1);

namespace ProtoJobs;

/**
 * Makes job ids in the server's time: UUIDv7, chosen here so that every repeated dispatch is safe.
 *
 * A server refuses ids whose time part is far from its own clock; `learn` takes its time from that refusal.
 */
final class JobIds
{
    private float $offset = 0.0;

    /** Returns a fresh id. */
    public function next(): string
    {
        $millis = (int) ((microtime(true) + $this->offset) * 1000);
        $random = random_bytes(10);
        $random[0] = chr(ord($random[0]) & 0x0f | 0x70);
        $random[2] = chr(ord($random[2]) & 0x3f | 0x80);
        $hex = sprintf('%012x', $millis) . bin2hex($random);
        return vsprintf('%s-%s-%s-%s-%s', sscanf($hex, '%8s%4s%4s%4s%12s') ?: []);
    }

    /** Makes later ids as if the local clock had shown this time (RFC 3339) now. Returns false where it is none. */
    public function learn(string $serverTime): bool
    {
        try {
            $at = new \DateTimeImmutable($serverTime ?: 'none');
        } catch (\Exception) {
            return false;
        }
        $this->offset = (float) $at->format('U.u') - microtime(true);
        return true;
    }
}
