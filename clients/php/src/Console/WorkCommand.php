<?php

declare(strict_types=1);

namespace ProtoJobs\Console;

use ProtoJobs\Jobs;
use ProtoJobs\StderrLogger;
use Symfony\Component\Console\Application;
use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Exception\ExceptionInterface;
use Symfony\Component\Console\Exception\InvalidOptionException;
use Symfony\Component\Console\Input\InputArgument;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Input\InputOption;
use Symfony\Component\Console\Output\OutputInterface;

/**
 * Runs the job classes that were named with `Jobs::register` or `Jobs::configure`: `php worker.php emails`.
 *
 * Exit codes: 0 finished (signal, drained, empty, recycled), 1 failed unexpectedly, 2 wrong usage, 78 the server refuses this
 * worker's settings or credentials, 130 stopped at once by a second signal.
 */
final class WorkCommand extends Command
{
    public function __construct()
    {
        parent::__construct('work');
    }

    /** Runs the command as the whole program and returns its exit code: `exit(WorkCommand::main());`. */
    public static function main(): int
    {
        $command = new self();
        $program = new Application('worker');
        $program->setAutoExit(false);
        $program->setCatchExceptions(false);
        $program->add($command);
        $program->setDefaultCommand((string) $command->getName(), true);
        try {
            return $program->run();
        } catch (ExceptionInterface | \ValueError $error) {
            fwrite(STDERR, "worker: {$error->getMessage()}\n");
            return 2;
        }
    }

    /** Declares queues and options. */
    protected function configure(): void
    {
        $value = InputOption::VALUE_REQUIRED;
        $this->setDescription('Runs jobs of these queues until it is told to stop.')
            ->addArgument('queues', InputArgument::IS_ARRAY, 'queues to read, NAME or NAME=WEIGHT', ['default'])
            ->addOption('strict', null, InputOption::VALUE_NONE, 'serve a queue only while those before it have nothing')
            ->addOption('slots', null, $value, 'handlers that run at once, each in a process of its own')
            ->addOption('name', null, $value, 'label for people')
            ->addOption('until-empty', null, InputOption::VALUE_NONE, 'leave once nothing waits')
            ->addOption('max-jobs', null, $value, 'leave after so many jobs')
            ->addOption('max-memory', null, $value, 'leave when it, or a handler, holds so many MiB')
            ->addOption('max-lifetime', null, $value, 'leave after so many seconds')
            ->addOption('grace', null, $value, 'seconds in which running jobs may finish')
            ->addOption('health-file', null, $value, 'touched while the worker is healthy')
            ->addOption('log-level', null, $value, 'debug, info, warning or error', 'info');
    }

    /** Runs the worker until it has left; returns the code of its ExitReason. */
    protected function execute(InputInterface $input, OutputInterface $output): int
    {
        $queues = [];
        foreach ($input->getArgument('queues') as $entry) {
            [$name, $weight] = [...explode('=', $entry, 2), '1'];
            $queues[$name] = ctype_digit($weight)
                ? (int) $weight
                : throw new InvalidOptionException("a weight is a number: $entry");
        }
        $memory = self::number($input, 'max-memory');
        $reason = Jobs::work(
            $queues,
            (int) self::number($input, 'max-jobs'),
            strict: $input->getOption('strict') ?: null,
            slots: self::number($input, 'slots'),
            name: $input->getOption('name'),
            untilEmpty: $input->getOption('until-empty') ?: null,
            maxMemory: $memory === null ? null : $memory * 1024 * 1024,
            maxLifetime: self::number($input, 'max-lifetime'),
            grace: self::number($input, 'grace'),
            healthFile: $input->getOption('health-file'),
            logger: new StderrLogger((string) $input->getOption('log-level')),
        );
        return $reason->code();
    }

    private static function number(InputInterface $input, string $option): ?int
    {
        $value = $input->getOption($option);
        if ($value === null) {
            return null;
        }
        return ctype_digit($value) ? (int) $value : throw new InvalidOptionException("--$option is a whole number, not '$value'");
    }
}
