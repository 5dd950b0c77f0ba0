<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Options;

final class OptionsTest extends TestCase
{
    public function testTheEnvironmentIsReadUnderTheNamesOfAllLanguages(): void
    {
        $options = Options::fromEnvironment([
            'PROTOJOBS_ADDRESS' => 'jobs.example:443',
            'PROTOJOBS_TOKEN_FILE' => '/run/token',
            'PROTOJOBS_CA' => '/ca.pem',
            'PROTOJOBS_CERT' => '/cert.pem',
            'PROTOJOBS_KEY' => '/key.pem',
            'PROTOJOBS_SERVER_NAME' => 'jobs',
            'PROTOJOBS_CALL_TIMEOUT' => '7.5',
            'PROTOJOBS_TOKEN' => '',
        ]);

        self::assertSame('jobs.example:443', $options->address);
        self::assertSame('/run/token', $options->tokenFile);
        self::assertNull($options->token);
        self::assertSame(['/ca.pem', '/cert.pem', '/key.pem', 'jobs'], [
            $options->ca, $options->cert, $options->key, $options->serverName,
        ]);
        self::assertSame(7.5, $options->callTimeout);
    }

    public function testATokenThatIsGivenTakesThePlaceOfAFileOfTheEnvironment(): void
    {
        $options = Options::fromEnvironment(['PROTOJOBS_TOKEN_FILE' => '/run/token'], token: 'secret');

        self::assertSame(['secret', null], [$options->token, $options->tokenFile]);
    }

    /** @dataProvider addresses */
    public function testTlsIsUsedWhereverTheServerIsNotThisMachine(string $address, bool $tls): void
    {
        self::assertSame($tls, (new Options($address))->usesTls());
    }

    /** @return array<string, array{string, bool}> */
    public static function addresses(): array
    {
        return [
            'IPv4 of this machine' => ['127.0.0.1:50051', false],
            'another IPv4 of this machine' => ['127.8.0.1:1', false],
            'IPv6 of this machine' => ['[::1]:50051', false],
            'localhost' => ['localhost:50051', false],
            'a socket' => ['unix:/run/jobs.sock', false],
            'a name' => ['jobs.example:443', true],
            'a name that begins like this machine' => ['localhost.example:443', true],
            'one of several elsewhere' => ['127.0.0.1:1,10.0.0.1:1', true],
            'a target of gRPC' => ['dns:///jobs.example:443', true],
        ];
    }

    public function testWhatCannotWorkIsRefused(): void
    {
        $refused = 0;
        foreach (
            [
                ['address' => ' '],
                ['token' => 'a', 'tokenFile' => 'b'],
                ['cert' => 'a'],
                ['insecure' => true, 'ca' => 'a'],
                ['callTimeout' => 0.0],
            ] as $given
        ) {
            try {
                new Options(...$given);
            } catch (\ValueError) {
                $refused++;
            }
        }
        self::assertSame(5, $refused);
    }

    public function testTheTokenIsNotShown(): void
    {
        self::assertStringNotContainsString('secret', print_r(new Options(token: 'secret'), true));
    }
}
