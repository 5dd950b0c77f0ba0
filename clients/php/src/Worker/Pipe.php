<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * One end of a socket between a worker and a process that it has forked; carries arrays of plain values.
 *
 * @internal
 */
final class Pipe
{
    private const PREFIX_BYTES = 4;
    private const PIECE_BYTES = 65_536;

    private string $incoming = '';
    private string $outgoing = '';
    private bool $isOpen = true;

    /** @param resource $stream */
    private function __construct(public readonly mixed $stream)
    {
        stream_set_blocking($stream, false);
    }

    /** @return array{self, self} */
    public static function pair(): array
    {
        $ends = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        if ($ends === false) {
            throw new \RuntimeException('no socket can be made');
        }
        return [new self($ends[0]), new self($ends[1])];
    }

    /** The other side is there, as far as is known. */
    public function isOpen(): bool
    {
        return $this->isOpen;
    }

    /** Something waits to be written. */
    public function hasOutgoing(): bool
    {
        return $this->isOpen && $this->outgoing !== '';
    }

    /**
     * Sends without waiting; what does not fit goes with `flush`.
     *
     * @param array<string, mixed> $message
     */
    public function send(array $message): void
    {
        $bytes = serialize($message);
        $this->outgoing .= pack('N', strlen($bytes)) . $bytes;
        $this->flush();
    }

    /** Writes what can be written now. */
    public function flush(): void
    {
        $done = 0;
        while ($this->isOpen && $done < strlen($this->outgoing)) {
            $written = @fwrite($this->stream, substr($this->outgoing, $done, self::PIECE_BYTES));
            if ($written === false) {
                $this->isOpen = false;
            }
            if ($written === false || $written === 0) {
                break;
            }
            $done += $written;
        }
        // Cut once, not for each piece: what waits may be megabytes.
        $this->outgoing = substr($this->outgoing, $done);
    }

    /**
     * Sends and waits until everything is written, or the other side has gone.
     *
     * @param array<string, mixed> $message
     */
    public function sendAll(array $message): void
    {
        $this->send($message);
        while ($this->hasOutgoing()) {
            self::select([], [$this], null);
            $this->flush();
        }
    }

    /** @return list<array<string, mixed>> what has come, without waiting */
    public function poll(): array
    {
        while ($this->isOpen) {
            $piece = @fread($this->stream, self::PIECE_BYTES);
            if ($piece === false || ($piece === '' && feof($this->stream))) {
                $this->isOpen = false;
            }
            if ($piece === false || $piece === '') {
                break;
            }
            $this->incoming .= $piece;
        }
        $messages = [];
        while (strlen($this->incoming) >= self::PREFIX_BYTES) {
            $size = (int) (unpack('N', $this->incoming)[1] ?? 0);
            if (strlen($this->incoming) < self::PREFIX_BYTES + $size) {
                break;
            }
            $bytes = substr($this->incoming, self::PREFIX_BYTES, $size);
            $this->incoming = substr($this->incoming, self::PREFIX_BYTES + $size);
            $messages[] = (array) unserialize($bytes, ['allowed_classes' => false]);
        }
        return $messages;
    }

    /** Closes this end; in a forked process also the copies of ends that are not its own. */
    public function close(): void
    {
        $this->isOpen = false;
        if (is_resource($this->stream)) {
            fclose($this->stream);
        }
    }

    /**
     * Waits until one can be read or written, a signal comes, or the time is over; null waits for ever.
     *
     * @param list<self> $readers
     * @param list<self> $writers
     */
    public static function select(array $readers, array $writers, ?float $seconds): void
    {
        $read = array_map(static fn (self $pipe): mixed => $pipe->stream, $readers);
        $write = array_map(static fn (self $pipe): mixed => $pipe->stream, $writers);
        $none = null;
        if ($read === [] && $write === []) {
            usleep((int) (1e6 * ($seconds ?? 1.0)));
            return;
        }
        $whole = $seconds === null ? null : (int) $seconds;
        @stream_select($read, $write, $none, $whole, $seconds === null ? null : (int) (($seconds - (int) $seconds) * 1e6));
    }
}
