<?php

declare(strict_types=1);

namespace ProtoJobs\Interop;

use Google\Protobuf\Internal\Message;
use Google\Protobuf\Timestamp;

/** Reads golden vectors: decodes the binary and the JSON form of each, and encodes them again. */
final class Vectors
{
    /** Returns whether all read as they should. */
    public static function check(string $directory): bool
    {
        $good = true;
        $index = json_decode((string) file_get_contents("$directory/index.json"), true, flags: JSON_THROW_ON_ERROR);
        foreach ($index['vectors'] ?? $index as $key => $entry) {
            $name = $entry['name'] ?? (string) $key;
            $class = self::classOf($entry['type'] ?? $entry);
            $bytes = (string) file_get_contents("$directory/$name.bin");
            $binary = new $class();
            $binary->mergeFromString($bytes);
            $again = new $class();
            $again->mergeFromString($binary->serializeToString());
            $isBinary = $again == $binary;
            $isJson = self::readsJson($binary, (string) file_get_contents("$directory/$name.json"));
            Lines::write('vector', ['name' => $name, 'binary' => $isBinary, 'json' => $isJson]);
            $good = $good && $isBinary && $isJson !== false;
        }
        return $good;
    }

    /** Returns null where the runtime is known to read this text wrongly. */
    private static function readsJson(Message $binary, string $text): ?bool
    {
        if (!extension_loaded('bcmath')) {
            return null; // the runtime reads no whole numbers of 64 bits without it
        }
        $json = self::ofJson($binary::class, $text);
        if ($json == $binary && self::ofJson($binary::class, (string) $json?->serializeToJsonString()) == $binary) {
            return true;
        }
        // The runtime of Debian 12 takes .123456 of a second for 123456 ns, and misreads negative spans.
        $fraction = new Timestamp();
        $fraction->mergeFromJsonString('"1970-01-01T00:00:00.123456Z"');
        $isMisread = $fraction->getNanos() !== 123_456_000 && preg_match('/\.\d+Z"|"-[\d.]+s"/', $text) === 1;
        return $isMisread ? null : false;
    }

    /** @return class-string<Message> */
    private static function classOf(string $type): string
    {
        return 'Protojobs\\V1\\' . substr((string) strrchr(".$type", '.'), 1);
    }

    /** @param class-string<Message> $class */
    private static function ofJson(string $class, string $text): ?Message
    {
        $message = new $class();
        try {
            $message->mergeFromJsonString($text);
        } catch (\Exception $error) {
            fwrite(STDERR, "$class: {$error->getMessage()}\n");
            return null;
        }
        return $message;
    }
}
