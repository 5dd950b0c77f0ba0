<?php

/**
 * Loads the classes of this client where Composer does not: from a checkout, with the protobuf runtime, PSR-3 and console of the
 * system (Debian: php-google-protobuf, php-psr-log, php-symfony-console). Under Composer, vendor/autoload.php is all you need.
 */

declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    $own = ['ProtoJobs\\Interop\\' => 'interop/', 'ProtoJobs\\Tests\\' => 'tests/', 'ProtoJobs\\' => 'src/'];
    $places = [__DIR__ . '/gen/' . $class, '/usr/share/php/' . $class];
    foreach ($own as $prefix => $directory) {
        if (str_starts_with($class, $prefix)) {
            $places = [__DIR__ . '/' . $directory . substr($class, strlen($prefix))];
            break;
        }
    }
    foreach ($places as $place) {
        $file = str_replace('\\', '/', $place) . '.php';
        if (is_file($file)) {
            require_once $file;
            return;
        }
    }
});
