<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The id was used for another body. */
class JobIdReusedException extends AlreadyExistsException
{
}
