<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** A handler's own decision about its job: thrown or returned. */
abstract class Verdict extends \Exception
{
}
