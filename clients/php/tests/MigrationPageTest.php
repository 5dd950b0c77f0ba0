<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Client;
use ProtoJobs\Tests\Support\Child;
use ProtoJobs\Tests\Support\DevServer;
use ProtoJobs\Tests\Support\Workspace;

/** The programs of docs/migrate-from-php.md, as they stand there. */
final class MigrationPageTest extends TestCase
{
    public function testItsProgramsDispatchWorkAndLookAfterWhatFailed(): void
    {
        $server = DevServer::own();
        $directory = $this->write();
        $run = static function (string ...$arguments) use ($server, $directory): string {
            $child = new Child([PHP_BINARY, ...$arguments], ['PROTOJOBS_ADDRESS' => $server->address()], $directory);
            self::assertSame(0, $child->wait(), $child->errors());
            return $child->rest();
        };

        self::assertMatchesRegularExpression('/^[0-9a-f-]{36}: 6 jobs, 3 schedules$/m', $run('produce.php'));
        self::assertMatchesRegularExpression('/ 3 schedules$/m', $run('produce.php'), 'declared again they are the same');
        $work = $run('worker.php', 'emails', '--until-empty', '--slots', '2');
        self::assertStringContainsString('SendEmailJob ann@example.com done in', $work);
        self::assertSame(2, substr_count($work, "not sent to nobody: no such address\n"));
        self::assertSame(2, substr_count($work, "SendEmailJob failed: no such address\n"));
        $failed = $run('failed.php');
        self::assertMatchesRegularExpression('/^SendEmailJob: no such address at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/m', $failed);
        $client = new Client($server->address());
        self::assertSame([0, 0], [$client->stats('emails')['emails']->failed, $client->stats('emails')['emails']->pending]);
        self::assertSame([], iterator_to_array($client->schedules()));
    }

    private function write(): string
    {
        $directory = Workspace::directory();
        mkdir("$directory/vendor");
        file_put_contents("$directory/vendor/autoload.php", "<?php require '" . dirname(__DIR__) . "/autoload.php';");
        $page = (string) file_get_contents(Workspace::ROOT . '/docs/migrate-from-php.md');
        preg_match_all('/```php\n(<\?php \/\/ ([a-z]+\.php)\n.*?)```/s', $page, $blocks, PREG_SET_ORDER);
        foreach ($blocks as [, $program, $name]) {
            file_put_contents("$directory/$name", $program);
        }
        self::assertSame(['jobs.php', 'produce.php', 'worker.php', 'failed.php'], array_column($blocks, 2));
        return $directory;
    }
}
