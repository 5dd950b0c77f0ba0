<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The server cannot read the keys that the credentials are verified with. */
class IssuerUnavailableException extends UnavailableException
{
}
