<?php

declare(strict_types=1);

namespace ProtoJobs;

/** Which ticks run of those that were missed while no server was there. */
enum CatchupMode: int
{
    /** None. */
    case Skip = 1;
    /** The latest. */
    case Last = 2;
    /** All, up to a number. */
    case All = 3;
}
