"""The contract compiles where users are: with nothing but protoc, and for PHP."""

import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parents[2]
PROTOS = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto" / "protojobs").rglob("*.proto"))
PHP_RUNTIME = Path("/usr/share/php/Google/Protobuf")

CONSTRUCT_ALL = r"""
spl_autoload_register(function (string $class): void {
    foreach ([$argv[1] ?? getenv('GENERATED'), '/usr/share/php'] as $root) {
        $path = $root . '/' . str_replace('\\', '/', $class) . '.php';
        if (is_file($path)) { require $path; return; }
    }
});
foreach (file('php://stdin', FILE_IGNORE_NEW_LINES) as $class) {
    $message = new $class();
    $twin = new $class();
    $twin->mergeFromString($message->serializeToString());
    echo $class, "\n";
}
"""


def compile_with(protoc: str, *arguments: str) -> None:
    """Run protoc over the contract with nothing but -I proto."""
    done = subprocess.run(
        [protoc, "-I", str(ROOT / "proto"), *arguments, *PROTOS], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr


def require(program: str) -> str:
    """Return the path of a program that this machine must have for the test."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"not on this machine: {program}")
    return path


@pytest.mark.php
def test_plain_protoc_compiles_the_contract_with_nothing_else_installed(tmp_path: Path) -> None:
    protoc = require("protoc")

    compile_with(protoc, f"--descriptor_set_out={tmp_path / 'set'}")

    files = FileDescriptorSet.FromString((tmp_path / "set").read_bytes())
    assert len(files.file) == len(PROTOS)


@pytest.mark.php
def test_php_constructs_and_reads_back_every_message(tmp_path: Path) -> None:
    protoc, php = require("protoc"), require("php")
    if not PHP_RUNTIME.exists():
        pytest.skip("not on this machine: php-google-protobuf")
    compile_with(protoc, f"--php_out={tmp_path}", f"--descriptor_set_out={tmp_path / 'set'}")
    vendored = [str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto" / "google").rglob("*.proto")]
    subprocess.run([protoc, "-I", str(ROOT / "proto"), f"--php_out={tmp_path}", *vendored], check=True, timeout=50)
    files = FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    classes = [f"Protojobs\\V1\\{message.name}" for file in files for message in file.message_type]

    done = subprocess.run(
        [php, "-r", CONSTRUCT_ALL],
        input="\n".join(classes),
        env={"GENERATED": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.stdout.split() == classes, done.stdout[-500:] + done.stderr[-2000:]
