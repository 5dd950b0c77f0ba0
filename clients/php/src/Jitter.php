<?php

declare(strict_types=1);

namespace ProtoJobs;

/** How a wait is made random. */
enum Jitter: int
{
    /** Uniformly up to the backoff, but at least 1 s. */
    case Full = 1;
    /** Exactly the backoff. */
    case None = 2;
}
