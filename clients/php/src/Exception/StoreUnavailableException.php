<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The server's store does not answer. */
class StoreUnavailableException extends UnavailableException
{
}
