<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Exception\UndecodableException;
use ProtoJobs\Payload\Chain;
use ProtoJobs\Payload\Compress;
use ProtoJobs\Payload\Encrypt;
use ProtoJobs\Payload\Payload;
use ProtoJobs\Payload\PayloadContext;
use ProtoJobs\Payload\PayloadUse;

final class CodecsTest extends TestCase
{
    /** @dataProvider readable @param array<string, string> $vector @param array<string, string> $keys */
    public function testEnvelopesOfOtherLanguagesAreReadAndMadeTheSame(array $vector, array $keys): void
    {
        $context = self::context($vector['context']);
        $stored = new Payload((string) hex2bin($vector['envelope']), Payload::ENVELOPE);
        $codec = self::reader($keys);
        // Envelopes nest: a chain undoes one of each kind.
        $plain = $codec->decode($codec->decode($stored, $context), $context);

        self::assertSame([$vector['content_type'], $vector['data']], [$plain->contentType, bin2hex($plain->data)]);
    }

    /** @dataProvider refused @param array<string, mixed> $vector @param array<string, string> $keys */
    public function testWhatIsNotAsItShouldBeIsRefusedWithItsReason(array $vector, array $keys): void
    {
        try {
            $stored = new Payload((string) hex2bin($vector['envelope']), Payload::ENVELOPE);
            self::reader($keys)->decode($stored, self::context($vector['context']))->decode();
            self::fail('it was read');
        } catch (UndecodableException $error) {
            self::assertSame($vector['reason'], $error->reason());
            self::assertStringStartsWith($vector['reason'], $error->getMessage());
        }
    }

    public function testTheSamePayloadOfTheSameJobIsTheSameBytes(): void
    {
        $codec = new Encrypt(['k' => str_repeat('k', 32)]);
        $context = new PayloadContext('kind', 'queue', jobId: 'id');
        $one = $codec->encode(new Payload('{}'), $context);

        self::assertSame($one->data, $codec->encode(new Payload('{}'), $context)->data);
        $other = new PayloadContext('kind', 'queue', jobId: 'other');
        self::assertNotSame($one->data, $codec->encode(new Payload('{}'), $other)->data);
        self::assertSame('{}', $codec->decode($one, $context)->data);
    }

    public function testAnEncryptedPayloadDoesNotOpenInAnotherQueue(): void
    {
        $codec = new Encrypt(['k' => str_repeat('k', 32)]);
        $sealed = $codec->encode(new Payload('{}'), new PayloadContext('kind', 'queue'));

        $this->expectExceptionMessage('NOT_AUTHENTIC');
        $codec->decode($sealed, new PayloadContext('kind', 'other'));
    }

    public function testCompressionBoundsWhatItUnpacks(): void
    {
        $context = new PayloadContext('kind', 'queue');
        $small = (new Compress('gzip'))->encode(new Payload(str_repeat('a', 100_000)), $context);
        self::assertLessThan(1000, strlen($small->data));
        self::assertSame(100_000, strlen((new Compress())->decode($small, $context)->data));

        $this->expectExceptionMessage('TOO_LARGE');
        (new Compress(maxBytes: 50_000))->decode($small, $context);
    }

    /** @return iterable<string, array{array<string, mixed>, array<string, string>}> */
    public static function readable(): iterable
    {
        $vectors = self::vectors();
        foreach ($vectors['envelopes'] as $vector) {
            yield $vector['name'] => [$vector, $vectors['keys']];
        }
    }

    /** @return iterable<string, array{array<string, mixed>, array<string, string>}> */
    public static function refused(): iterable
    {
        $vectors = self::vectors();
        foreach ($vectors['refused'] as $vector) {
            yield $vector['name'] => [$vector, $vectors['keys']];
        }
    }

    /** @param array<string, string> $keys */
    private static function reader(array $keys): Chain
    {
        return new Chain(new Compress(), new Encrypt(array_map('hex2bin', $keys), (string) array_key_first($keys)));
    }

    /** @param array<string, string> $context */
    private static function context(array $context): PayloadContext
    {
        return new PayloadContext(
            $context['kind'],
            $context['queue'] ?? '',
            PayloadUse::from($context['use']),
            $context['job_id'] ?? '',
        );
    }

    /** @return array<string, mixed> */
    private static function vectors(): array
    {
        $file = __DIR__ . '/../../../proto/testdata/envelopes.json';
        return json_decode((string) file_get_contents($file), true, flags: JSON_THROW_ON_ERROR);
    }
}
