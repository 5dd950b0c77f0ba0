<?php

declare(strict_types=1);

use ProtoJobs\Console\WorkCommand;
use ProtoJobs\JobEvent;
use ProtoJobs\Jobs;

require_once __DIR__ . '/../autoload.php'; // in your program: vendor/autoload.php
require_once __DIR__ . '/SendEmailJob.php';

Jobs::configure();
Jobs::register(SendEmailJob::class);
Jobs::listen('job.processed', static function (JobEvent $event): void {
    fwrite(STDERR, sprintf("%s done in %.3f s\n", $event->get('job_name'), $event->get('execution_time')));
});

exit(WorkCommand::main());
