<?php

declare(strict_types=1);

namespace ProtoJobs;

/** When a unique key is free again. */
enum UniqueScope: int
{
    /** Once a worker has got the job; its retries do not take the key again. */
    case UntilStart = 1;
    /** Once the job is final. */
    case UntilDone = 2;
    /** A while after the dispatch, whatever becomes of the job. */
    case Window = 3;
}
