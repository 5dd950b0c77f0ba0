<?php

declare(strict_types=1);

namespace ProtoJobs;

use Protojobs\V1\Unique as Message;

/** Says that at most one job of this key may be in its queue, within a scope. */
final class Unique
{
    /**
     * @param string $key 1 to 256 bytes, compared byte by byte
     * @param int|float|\DateInterval|null $window of scope Window, and of no other; 1 s to 365 days
     * @throws \ValueError for what no server could take
     */
    public function __construct(
        public readonly string $key,
        public readonly UniqueScope $scope = UniqueScope::UntilDone,
        public readonly int|float|\DateInterval|null $window = null,
        public readonly OnConflict $onConflict = OnConflict::Reject,
    ) {
        if ($key === '') {
            throw new \ValueError('a unique key must not be empty');
        }
        if (($scope === UniqueScope::Window) !== ($window !== null)) {
            throw new \ValueError('a window belongs to scope Window, and to no other');
        }
    }

    /** Makes the message. @internal */
    public function toMessage(): Message
    {
        return (new Message())
            ->setKey($this->key)
            ->setScope($this->scope->value)
            ->setWindow(Times::duration($this->window))
            ->setOnConflict($this->onConflict->value);
    }
}
