<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** No such queue. */
class QueueNotFoundException extends NotFoundException
{
}
