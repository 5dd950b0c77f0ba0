<?php

declare(strict_types=1);

namespace ProtoJobs\Interop;

use ProtoJobs\Worker\NullObserver;

/** Tells of a worker's session and of its leaving, and nothing of its jobs. */
class LineObserver extends NullObserver
{
    private bool $isDraining = false;

    public function ready(string $session, bool $resumed): void
    {
        Lines::write('ready', ['session' => $session, 'resumed' => $resumed]);
    }

    public function draining(): void
    {
        if (!$this->isDraining) {
            $this->isDraining = true;
            Lines::write('draining');
        }
    }

    public function stopped(int $processed): void
    {
        Lines::write('stopped', ['processed' => $processed]);
    }
}
