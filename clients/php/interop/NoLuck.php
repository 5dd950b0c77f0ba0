<?php

declare(strict_types=1);

/** The failure of the kinds fail and fail_twice; its name is what the server is told. */
final class NoLuck extends RuntimeException
{
}
