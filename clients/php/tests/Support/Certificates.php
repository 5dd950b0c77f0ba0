<?php

declare(strict_types=1);

namespace ProtoJobs\Tests\Support;

/** An authority and what it has signed, as PEM files of a test. */
final class Certificates
{
    private readonly \OpenSSLAsymmetricKey $key;
    private readonly \OpenSSLCertificate $certificate;
    public readonly string $ca;

    public function __construct(private readonly string $directory, string $name = 'authority')
    {
        [$this->key, $request] = self::request($name);
        $signed = openssl_csr_sign($request, null, $this->key, 2, $this->settings('v3_ca'));
        $this->certificate = $signed ?: throw new \RuntimeException('not signed');
        $this->ca = "$directory/$name.pem";
        openssl_x509_export_to_file($this->certificate, $this->ca);
    }

    /**
     * Signs a certificate for a name of a server or client.
     *
     * @return array{string, string} files of certificate and key
     */
    public function sign(string $name, string $alternative = 'DNS:localhost,IP:127.0.0.1'): array
    {
        [$key, $request] = self::request($name);
        $settings = $this->settings('leaf', $alternative);
        $signed = openssl_csr_sign($request, $this->certificate, $this->key, 2, $settings, random_int(2, 9999));
        $files = ["$this->directory/$name.crt", "$this->directory/$name.key"];
        openssl_x509_export_to_file($signed ?: throw new \RuntimeException(), $files[0]);
        openssl_pkey_export_to_file($key, $files[1]);
        return $files;
    }

    /** @return array{\OpenSSLAsymmetricKey, \OpenSSLCertificateSigningRequest} */
    private static function request(string $name): array
    {
        $key = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
        $request = $key === false ? false : openssl_csr_new(['commonName' => $name], $key);
        return $key === false || !$request instanceof \OpenSSLCertificateSigningRequest
            ? throw new \RuntimeException('no key')
            : [$key, $request];
    }

    /** @return array<string, string> */
    private function settings(string $section, string $alternative = 'DNS:unused'): array
    {
        $file = "$this->directory/openssl.cnf";
        file_put_contents($file, <<<END
            [req]
            distinguished_name = name
            [name]
            [v3_ca]
            basicConstraints = critical,CA:TRUE
            subjectKeyIdentifier = hash
            [leaf]
            basicConstraints = CA:FALSE
            subjectAltName = $alternative
            END);
        return ['config' => $file, 'x509_extensions' => $section, 'digest_alg' => 'sha256'];
    }
}
