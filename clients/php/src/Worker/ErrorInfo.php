<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * Type, message and stack of a failure, each cut to what the contract stores.
 *
 * @internal
 */
final class ErrorInfo
{
    private const MAX_TYPE_BYTES = 256;
    private const MAX_MESSAGE_BYTES = 4 * 1024;
    private const MAX_STACK_BYTES = 16 * 1024;

    public readonly string $type;
    public readonly string $message;
    public readonly string $stack;

    public function __construct(string $type, string $message = '', string $stack = '')
    {
        $this->type = self::cut($type, self::MAX_TYPE_BYTES);
        $this->message = self::cut($message, self::MAX_MESSAGE_BYTES);
        $this->stack = self::cut($stack, self::MAX_STACK_BYTES);
    }

    /** Describes what a handler threw. Values of arguments stay out of the stack: they may be secrets. */
    public static function of(\Throwable $error): self
    {
        $stack = '';
        for ($each = $error; $each !== null; $each = $each->getPrevious()) {
            $stack .= ($stack === '' ? '' : "\n\nCaused by:\n") . self::name($each) . ": {$each->getMessage()}\n";
            $stack .= "#- {$each->getFile()}({$each->getLine()})";
            foreach ($each->getTrace() as $number => $frame) {
                $place = isset($frame['file']) ? "{$frame['file']}({$frame['line']})" : '[internal function]';
                $stack .= "\n#$number $place: " . ($frame['class'] ?? '') . ($frame['type'] ?? '') . $frame['function'] . '()';
            }
        }
        return new self(self::name($error), $error->getMessage(), $stack);
    }

    /** Returns the name of the class; that of an anonymous one goes on with a NUL and a path. */
    private static function name(\Throwable $error): string
    {
        return explode("\0", $error::class)[0];
    }

    /** Cuts to $limit bytes of UTF-8, never inside a character; what is no UTF-8 becomes '?'. */
    public static function cut(string $text, int $limit): string
    {
        if (preg_match('//u', $text) !== 1) {
            $text = (string) preg_replace('/[\x80-\xff]/', '?', $text);
        }
        if (strlen($text) <= $limit) {
            return $text;
        }
        $end = $limit;
        while ($end > 0 && (ord($text[$end]) & 0xc0) === 0x80) {
            $end--;
        }
        return substr($text, 0, $end);
    }
}
