<?php

declare(strict_types=1);

use ProtoJobs\Jobs;

require_once __DIR__ . '/../autoload.php'; // in your program: vendor/autoload.php
require_once __DIR__ . '/SendEmailJob.php';

$id = Jobs::dispatch(SendEmailJob::class, ['to' => 'ann@example.com', 'subject' => 'Hello']);
echo "$id: ", json_encode(Jobs::client()->wait($id, 30)), "\n";
