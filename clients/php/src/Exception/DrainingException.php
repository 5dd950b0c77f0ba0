<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The server is shutting down. */
class DrainingException extends UnavailableException
{
}
