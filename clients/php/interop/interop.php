<?php

/** The program that the conformance suite runs the same in every language. Exit codes: 0 well, 2 wrong usage, 1 otherwise. */

declare(strict_types=1);

use ProtoJobs\Interop\Program;
use Symfony\Component\Console\Exception\ExceptionInterface;
use Symfony\Component\Console\Input\ArgvInput;

require_once __DIR__ . '/../autoload.php';

try {
    // A lone dash would be taken for the next option.
    $arguments = str_replace("\0--spec\0-\0", "\0--spec=-\0", implode("\0", $argv) . "\0");
    exit((new Program())->run(new ArgvInput(explode("\0", rtrim($arguments, "\0")))));
} catch (ExceptionInterface | InvalidArgumentException | ValueError $error) {
    fwrite(STDERR, "interop: {$error->getMessage()}\n");
    exit(2);
} catch (Throwable $error) {
    fwrite(STDERR, "interop: $error\n");
    exit(1);
}
