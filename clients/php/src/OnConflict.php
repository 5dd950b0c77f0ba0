<?php

declare(strict_types=1);

namespace ProtoJobs;

/** What becomes of a job whose unique key another one has. */
enum OnConflict: int
{
    /** DuplicateJobException, with the id of the other one. */
    case Reject = 1;
    /** The other one is the answer, outcome Existing. */
    case ReturnExisting = 2;
    /** The other one ends as cancelled, unless it runs (or has ended within its window): then as Reject. */
    case Replace = 3;
    /** As Replace; never starts sooner than the other one was to. Needs a delay. */
    case Debounce = 4;
}
