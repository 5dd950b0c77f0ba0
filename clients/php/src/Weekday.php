<?php

declare(strict_types=1);

namespace ProtoJobs;

/** A day of the week. */
enum Weekday: int
{
    /** Monday. */
    case Monday = 1;
    /** Tuesday. */
    case Tuesday = 2;
    /** Wednesday. */
    case Wednesday = 3;
    /** Thursday. */
    case Thursday = 4;
    /** Friday. */
    case Friday = 5;
    /** Saturday. */
    case Saturday = 6;
    /** Sunday. */
    case Sunday = 7;
}
