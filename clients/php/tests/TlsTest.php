<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Exception\UnavailableException;
use ProtoJobs\Options;
use ProtoJobs\Tests\Support\Certificates;
use ProtoJobs\Tests\Support\FakeServer;
use ProtoJobs\Tests\Support\Workspace;
use ProtoJobs\Transport\Call;
use ProtoJobs\Transport\CurlGrpcTransport;

final class TlsTest extends TestCase
{
    private Certificates $authority;
    private FakeServer $server;
    private string $directory;

    protected function setUp(): void
    {
        $this->directory = Workspace::directory();
        $this->authority = new Certificates($this->directory);
        [$certificate, $key] = $this->authority->sign('server', 'DNS:jobs.example,DNS:localhost,IP:127.0.0.1');
        $this->server = new FakeServer(files: [$key, $certificate, $this->authority->ca]);
        $this->server->plan('A/B', ['messages' => [base64_encode('well')]]);
    }

    public function testBothSidesShowTheirCertificates(): void
    {
        [$cert, $key] = $this->authority->sign('client');
        $transport = $this->transport(ca: $this->authority->ca, cert: $cert, key: $key, token: 'secret');

        self::assertSame('well', $transport->unary($this->call()));
        self::assertSame('well', $transport->unary($this->call()), 'by the same connection');
        self::assertSame('Bearer secret', $this->server->call()['metadata']['authorization']);
    }

    public function testTheNameToExpectMayBeAnotherThanTheAddress(): void
    {
        [$cert, $key] = $this->authority->sign('client');
        $options = ['ca' => $this->authority->ca, 'cert' => $cert, 'key' => $key];

        self::assertSame('well', $this->transport(...$options, serverName: 'jobs.example')->unary($this->call()));
        $this->expectExceptionMessage('TLS');
        $this->transport(...$options, serverName: 'other.example')->unary($this->call());
    }

    public function testAServerOfAnotherAuthorityIsNotTrusted(): void
    {
        [$cert, $key] = $this->authority->sign('client');
        $foreign = new Certificates($this->directory, 'foreign');

        $this->expectException(UnavailableException::class);
        $this->transport(ca: $foreign->ca, cert: $cert, key: $key)->unary($this->call());
    }

    public function testAClientWithoutACertificateIsTurnedDown(): void
    {
        $this->expectException(UnavailableException::class);

        $this->transport(ca: $this->authority->ca)->unary($this->call());
    }

    public function testAServerWithTlsDoesNotAnswerWithout(): void
    {
        $this->expectException(UnavailableException::class);

        $this->transport()->unary($this->call());
    }

    public function testAChangedCertificateIsUsedFromTheNextCallOn(): void
    {
        $foreign = new Certificates($this->directory, 'foreign');
        [$cert, $key] = $foreign->sign('client');
        $transport = $this->transport(ca: $this->authority->ca, cert: $cert, key: $key);
        try {
            $transport->unary($this->call());
            self::fail('a certificate of nobody that it knows was taken');
        } catch (UnavailableException) {
            $this->authority->sign('client'); // writes the same files
        }

        self::assertSame('well', $transport->unary($this->call()));
    }

    private function transport(mixed ...$options): CurlGrpcTransport
    {
        return new CurlGrpcTransport(new Options($this->server->address(), ...$options));
    }

    private function call(): Call
    {
        return new Call('/protojobs.v1.A/B', '', 5.0);
    }
}
