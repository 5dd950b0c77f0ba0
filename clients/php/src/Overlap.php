<?php

declare(strict_types=1);

namespace ProtoJobs;

/** What happens to a tick while the job of the previous one is not final. */
enum Overlap: int
{
    /** It runs too. */
    case Allow = 1;
    /** It is skipped. */
    case Skip = 2;
    /** One waits for the end of the previous. */
    case BufferOne = 3;
    /** The previous is cancelled. */
    case CancelOld = 4;
}
