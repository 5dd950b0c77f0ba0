<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** No such job, or it was deleted. */
class JobNotFoundException extends NotFoundException
{
}
