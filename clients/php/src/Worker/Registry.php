<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Job;

/**
 * Which handler runs which kind.
 *
 * A class is only ever made where it was registered, or lies in a namespace that was: never because a payload names it.
 *
 * @internal
 */
final class Registry
{
    /** @var array<string, Handler> */
    private array $handlers = [];
    /** @var list<string> with a backslash at the end */
    private array $namespaces = [];

    public function add(Handler $handler): void
    {
        if (preg_match('/^[A-Za-z0-9._-]{1,128}$/D', $handler->kind) !== 1) {
            throw new \ValueError("a kind is [A-Za-z0-9._-]{1,128}, not '{$handler->kind}'");
        }
        $this->handlers[$handler->kind] = $handler;
    }

    public function addNamespace(string $namespace): void
    {
        $this->namespaces[] = trim($namespace, '\\') . '\\';
    }

    /** Returns the handler of a kind; null: none. */
    public function find(string $kind): ?Handler
    {
        return $this->handlers[$kind] ??= $this->search($kind);
    }

    /** @return list<string> the kinds to ask for; empty: all, since those of a namespace are not known before they come */
    public function kinds(): array
    {
        return $this->namespaces === [] ? array_map('strval', array_keys(array_filter($this->handlers))) : [];
    }

    public function isEmpty(): bool
    {
        return $this->handlers === [] && $this->namespaces === [];
    }

    private function search(string $kind): ?Handler
    {
        $class = str_replace('.', '\\', $kind);
        foreach ($this->namespaces as $namespace) {
            if (!str_starts_with($class, $namespace) || !is_subclass_of($class, Job::class)) {
                continue;
            }
            // A class that has another kind is not this one, whatever it is called.
            if (!(new \ReflectionClass($class))->isAbstract() && $class::kind() === $kind) {
                return Handler::ofClass($class, $kind);
            }
        }
        return null;
    }
}
