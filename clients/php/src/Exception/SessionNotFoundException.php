<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** No such worker session. */
class SessionNotFoundException extends NotFoundException
{
}
