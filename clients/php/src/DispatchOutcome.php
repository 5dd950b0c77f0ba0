<?php

declare(strict_types=1);

namespace ProtoJobs;

/** What a dispatch did. */
enum DispatchOutcome: int
{
    /** Nothing was stored: validate_only, or an error. */
    case Unspecified = 0;
    /** Stored by this call. */
    case Created = 1;
    /** The id (or the unique key) was stored before; nothing changed. */
    case Existing = 2;
    /** Stored; another job of the unique key was ended. */
    case Replaced = 3;
}
