/** One server: where to connect to, and whether that is this machine. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly loopback: boolean;
}

const DEFAULT_PORT = 50051;

/**
 * Reads `host:port`, several of them separated by commas, or a gRPC target of the schemes dns, ipv4 and ipv6.
 *
 * @throws RangeError for what names no server.
 */
export function parseAddress(address: string): readonly Endpoint[] {
  const parts = withoutScheme(address)
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  if (parts.length === 0) throw new RangeError("address is empty");
  return parts.map(parseEndpoint);
}

function withoutScheme(address: string): string {
  const scheme = /^(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):/.exec(address)?.[1];
  if (scheme === undefined) return address;
  if (!["dns", "ipv4", "ipv6"].includes(scheme)) throw new RangeError(`addresses of ${scheme}: are not supported`);
  const rest = address.slice(scheme.length + 1);
  return rest.startsWith("//") ? rest.slice(rest.lastIndexOf("/") + 1) : rest;
}

function parseEndpoint(part: string): Endpoint {
  const found = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(part);
  const host = found?.[1] ?? found?.[2];
  const port = found?.[3] === undefined ? DEFAULT_PORT : Number(found[3]);
  if (host === undefined || port > 65_535) throw new RangeError(`address is not host:port: ${part}`);
  return { host, port, loopback: isLoopback(host) };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Writes an endpoint as the origin of URLs. */
export function originOf(endpoint: Endpoint, tls: boolean): string {
  const host = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
  return `${tls ? "https" : "http"}://${host}:${String(endpoint.port)}`;
}
