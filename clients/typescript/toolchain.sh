# Sourced by `build` and `check`: sees to it that Node.js is there and the packages of the lock are installed.
for needed in node npm; do
  if ! command -v "$needed" >/dev/null; then
    echo "not on this machine: $needed"
    exit 69
  fi
done
if ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
  process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'; then
  echo "not on this machine: Node.js 20.19 or newer"
  exit 69
fi
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-progress --loglevel=error
  touch node_modules/.package-lock.json
fi
