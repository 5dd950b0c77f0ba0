<?php

declare(strict_types=1);

namespace ProtoJobs\Tests\Support;

use ProtoJobs\Job;

final class NamedJob extends Job
{
    protected string $name = 'named';

    public function handle(mixed $data): mixed
    {
        return null;
    }
}
