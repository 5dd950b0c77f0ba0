<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Exception\DeadlineExceededException;
use ProtoJobs\Exception\NotFoundException;
use ProtoJobs\Exception\UnauthenticatedException;
use ProtoJobs\Exception\UnavailableException;
use ProtoJobs\Options;
use ProtoJobs\Tests\Support\FakeServer;
use ProtoJobs\Transport\Call;
use ProtoJobs\Transport\CurlGrpcTransport;
use ProtoJobs\Transport\StatusCode;
use Protojobs\V1\GetServerInfoResponse;

final class TransportTest extends TestCase
{
    private FakeServer $server;

    protected function setUp(): void
    {
        $this->server = new FakeServer();
    }

    public function testACallCarriesDeadlineTokenAndUserAgent(): void
    {
        $this->server->plan('ServerService/GetServerInfo', (new GetServerInfoResponse())->setVersion('1.2.3'));
        $transport = $this->transport(token: 'secret');

        $call = new Call('/protojobs.v1.ServerService/GetServerInfo', 'request', 7.0, ['x-request-id' => 'r1']);
        $answer = $transport->unary($call);

        $call = $this->server->call();
        self::assertStringContainsString('1.2.3', $answer);
        self::assertSame('request', $call['request']);
        self::assertSame(['Bearer secret', 'r1'], [$call['metadata']['authorization'], $call['metadata']['x-request-id']]);
        self::assertStringContainsString('protojobs-php/', $call['metadata']['user-agent']);
        self::assertEqualsWithDelta(7.0, $call['timeout'], 2.0);
    }

    public function testConnectionsAreUsedAgainAndOutliveErrors(): void
    {
        $this->server->plan('A/B', StatusCode::NotFound, ['messages' => [base64_encode('well')]]);
        $transport = $this->transport();

        for ($try = 0; $try < 2; $try++) {
            try {
                self::assertSame('well', $transport->unary(new Call('/protojobs.v1.A/B', '', 5.0)));
            } catch (NotFoundException $error) {
                self::assertSame(['planned', 0], [$error->getMessage(), $try]);
            }
        }
        for ($try = 0; $try < 20; $try++) {
            self::assertSame('well', $transport->unary(new Call('/protojobs.v1.A/B', '', 5.0)));
        }
    }

    public function testAServerThatWasStartedAgainIsFound(): void
    {
        $this->server->plan('A/B', ['messages' => [base64_encode('one')]]);
        $transport = $this->transport();
        self::assertSame('one', $transport->unary(new Call('/protojobs.v1.A/B', '', 5.0)));
        $address = $this->server->address();
        $this->server->stop();

        $this->server = new FakeServer($address);
        $this->server->plan('A/B', ['messages' => [base64_encode('two')]]);

        self::assertSame('two', $transport->unary(new Call('/protojobs.v1.A/B', '', 5.0)));
    }

    public function testAnswersOfAStreamComeOneByOneAndOtherCallsGoBetween(): void
    {
        $this->server->plan('A/Stream', ['messages' => array_map('base64_encode', ['a', '', str_repeat('c', 100_000)])]);
        $this->server->plan('A/B', ['messages' => [base64_encode('between')]]);
        $transport = $this->transport();
        $lengths = [];

        foreach ($transport->serverStream(new Call('/protojobs.v1.A/Stream', '')) as $message) {
            $lengths[] = strlen($message);
            self::assertSame('between', $transport->unary(new Call('/protojobs.v1.A/B', '', 5.0)));
        }

        self::assertSame([1, 0, 100_000], $lengths);
    }

    public function testAStreamMayEndWithAnErrorAfterItsAnswers(): void
    {
        $this->server->plan('A/Stream', ['messages' => [base64_encode('a')], 'code' => 14, 'message' => 'gone: žluť']);
        $seen = [];

        try {
            foreach ($this->transport()->serverStream(new Call('/protojobs.v1.A/Stream', '')) as $message) {
                $seen[] = $message;
            }
            self::fail('it ended well');
        } catch (UnavailableException $error) {
            self::assertSame([['a'], 'gone: žluť'], [$seen, $error->getMessage()]);
        }
    }

    public function testACallEndsAtItsDeadline(): void
    {
        $this->server->plan('A/B', ['hang' => 30]);

        $this->expectException(DeadlineExceededException::class);
        $this->transport()->unary(new Call('/protojobs.v1.A/B', '', 0.3));
    }

    public function testASilentStreamIsGivenUp(): void
    {
        $this->server->plan('A/Stream', ['hang' => 30]);

        $this->expectException(UnavailableException::class);
        iterator_to_array($this->transport()->serverStream(new Call('/protojobs.v1.A/Stream', '', silence: 0.3)));
    }

    public function testNobodyAtTheAddressIsUnavailable(): void
    {
        $this->expectException(UnavailableException::class);

        (new CurlGrpcTransport(new Options('127.0.0.1:1')))->unary(new Call('/protojobs.v1.A/B', '', 2.0));
    }

    public function testTheNextAddressIsTriedWhenOneDoesNotAnswer(): void
    {
        $this->server->plan('A/B', ['messages' => [base64_encode('here')]]);
        $transport = new CurlGrpcTransport(new Options("127.0.0.1:1,{$this->server->address()}"));

        try {
            $transport->unary(new Call('/protojobs.v1.A/B', '', 2.0));
            self::fail('somebody answered at port 1');
        } catch (UnavailableException) {
            self::assertSame('here', $transport->unary(new Call('/protojobs.v1.A/B', '', 5.0)));
        }
    }

    public function testAnAnswerThatIsTooLargeIsRefused(): void
    {
        $this->server->plan('A/B', ['messages' => [base64_encode(str_repeat('x', 200_000))]]);

        $this->expectExceptionMessage('max_receive_bytes');
        $this->transport(maxReceiveBytes: 100_000)->unary(new Call('/protojobs.v1.A/B', '', 5.0));
    }

    public function testAChangedTokenFileIsReadAgainAndAnEmptyOneKeepsTheLastToken(): void
    {
        $this->server->plan('A/B', ['messages' => ['']]);
        $file = Support\Workspace::directory() . '/token';
        $transport = $this->transport(tokenFile: $file);
        $seen = [];
        foreach (["one\n", 'two', '', 'three'] as $token) {
            file_put_contents($file, $token);
            $transport->unary(new Call('/protojobs.v1.A/B', '', 5.0));
            $seen[] = $this->server->call()['metadata']['authorization'];
        }

        self::assertSame(['Bearer one', 'Bearer two', 'Bearer two', 'Bearer three'], $seen);
    }

    public function testATokenFileThatIsNotThereIsUnauthenticated(): void
    {
        $this->expectException(UnauthenticatedException::class);

        $this->transport(tokenFile: '/nowhere/token')->unary(new Call('/protojobs.v1.A/B', '', 5.0));
    }

    private function transport(mixed ...$options): CurlGrpcTransport
    {
        return new CurlGrpcTransport(new Options($this->server->address(), ...$options));
    }
}
