<?php

declare(strict_types=1);

namespace ProtoJobs\Transport;

use ProtoJobs\Exception\UnauthenticatedException;

/** A bearer token by value, or in a file that may change (a projected Kubernetes secret). */
final class Token
{
    /** @var list<int> */
    private array $stamp = [];

    /** A file goes before a value, and is read again when it has changed. */
    public function __construct(
        #[\SensitiveParameter] private ?string $value,
        private readonly ?string $file = null,
    ) {
    }

    /**
     * Returns the value of the `authorization` metadata, null without a token.
     *
     * While a file is being replaced it may be empty or gone: the last token stays.
     *
     * @throws UnauthenticatedException where the file has never held a token
     */
    public function header(): ?string
    {
        if ($this->file !== null) {
            $this->read($this->file);
            if ($this->value === null) {
                throw new UnauthenticatedException(
                    "the token file cannot be read, or is empty: {$this->file}",
                    StatusCode::Unauthenticated,
                    'UNAUTHENTICATED',
                );
            }
        }
        return $this->value === null ? null : "Bearer {$this->value}";
    }

    private function read(string $file): void
    {
        clearstatcache(true, $file);
        $found = @stat($file);
        if ($found === false) {
            return;
        }
        // The time alone is whole seconds: the inode tells of files that are replaced within one.
        $stamp = [$found['mtime'], $found['ino'], $found['size']];
        if ($stamp === $this->stamp && $found['mtime'] < time() - 1) {
            return;
        }
        $value = trim((string) @file_get_contents($file));
        if ($value !== '') {
            $this->value = $value;
            $this->stamp = $stamp;
        }
    }
}
