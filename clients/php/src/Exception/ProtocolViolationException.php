<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** A message came that the protocol does not allow here. */
class ProtocolViolationException extends FailedPreconditionException
{
}
