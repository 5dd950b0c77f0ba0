<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** No such schedule. */
class ScheduleNotFoundException extends NotFoundException
{
}
