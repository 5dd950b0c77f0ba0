<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * Where a lease stands in this worker.
 *
 *     Running --end--> Ended --settled--> gone
 *     Running --lost, superseded--> Gone (its outcome is dropped when its handler ends)
 *
 * @internal
 */
enum LeaseState
{
    case Running;
    case Ended;
    case Gone;
}
