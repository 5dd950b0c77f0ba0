<?php

declare(strict_types=1);

namespace ProtoJobs;

/** What this client calls itself. */
final class Version
{
    public const SDK = 'protojobs-php';
    public const NUMBER = '0.1.0';
}
