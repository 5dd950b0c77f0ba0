<?php

declare(strict_types=1);

namespace ProtoJobs;

/** What this client calls itself. */
final class Version
{
    /** Name of this client. */
    public const SDK = 'protojobs-php';
    /** Version of this client. */
    public const NUMBER = '0.1.0';
}
