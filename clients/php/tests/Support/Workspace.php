<?php

declare(strict_types=1);

namespace ProtoJobs\Tests\Support;

use PHPUnit\Framework\TestCase;

/** What tests need of the repository around this client. */
final class Workspace
{
    public const ROOT = __DIR__ . '/../../../..';

    /** Returns a program of the Python environment. */
    public static function program(string $name): string
    {
        $path = self::ROOT . "/.venv/bin/$name";
        if (!is_file($path)) {
            TestCase::markTestSkipped('not on this machine: .venv (make .venv/.ready)');
        }
        return $path;
    }

    /** Returns a new directory of the test. */
    public static function directory(): string
    {
        $directory = sys_get_temp_dir() . '/protojobs-php-' . bin2hex(random_bytes(6));
        mkdir($directory, 0700);
        register_shutdown_function(static fn () => self::remove($directory));
        return $directory;
    }

    private static function remove(string $path): void
    {
        if (!is_dir($path) || is_link($path)) {
            unlink($path);
            return;
        }
        foreach (array_diff(scandir($path) ?: [], ['.', '..']) as $name) {
            self::remove("$path/$name");
        }
        rmdir($path);
    }
}
