import { parseAddress, type Endpoint } from "./address.js";
import { silentLogger, type Logger } from "./logger.js";

/** Where a client looks for the server unless it is told. */
export const DEFAULT_ADDRESS = "127.0.0.1:50051";

/**
 * Settings of a connection; what is left out comes from the environment, then from the default. Spans are in seconds.
 *
 * Without TLS only to loopback addresses, unless `insecure` says so; anywhere else TLS is used, with the roots of
 * Node.js unless `ca` names others.
 */
export interface ConnectionOptions {
  /** host:port, or several host:port separated by commas. PROTOJOBS_ADDRESS; default 127.0.0.1:50051. */
  readonly address?: string | undefined;
  /** Sent as `authorization: Bearer`. PROTOJOBS_TOKEN. */
  readonly token?: string | undefined;
  /** A file of the token instead; read again when it changes. PROTOJOBS_TOKEN_FILE. */
  readonly tokenFile?: string | undefined;
  /** PEM file of the roots to trust; switches TLS on. PROTOJOBS_CA. */
  readonly ca?: string | undefined;
  /** PEM file of the client's certificate chain; with key. PROTOJOBS_CERT. */
  readonly cert?: string | undefined;
  /** PEM file of its private key; with cert. PROTOJOBS_KEY. */
  readonly key?: string | undefined;
  /** Name to expect in the server's certificate instead of the host. PROTOJOBS_SERVER_NAME. */
  readonly serverName?: string | undefined;
  /** TLS to this machine, too; elsewhere it is used anyway. */
  readonly tls?: boolean | undefined;
  /** No TLS, wherever the server is. PROTOJOBS_INSECURE. */
  readonly insecure?: boolean | undefined;
  /** Bound of one try of a dispatch, default 5. */
  readonly dispatchDeadline?: number | undefined;
  /** Bound of one try of any other call, default 10. */
  readonly readDeadline?: number | undefined;
  /** Bound of a call with its retries, default 30. PROTOJOBS_CALL_TIMEOUT. */
  readonly callTimeout?: number | undefined;
  /** Largest message to send: what the server reads. Default 4 MiB. */
  readonly maxMessageBytes?: number | undefined;
  /** Largest message to take, default 16 MiB. */
  readonly maxReceiveBytes?: number | undefined;
  /** Single dispatches share one stream, default true. */
  readonly streaming?: boolean | undefined;
  /** OpenTelemetry baggage keys that may travel with jobs, default none. */
  readonly baggage?: readonly string[] | undefined;
  /** Where to tell what happens, default nowhere. */
  readonly logger?: Logger | undefined;
}

/** Settings with everything filled in. */
export interface ResolvedOptions {
  readonly endpoints: readonly Endpoint[];
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly serverName: string | undefined;
  readonly usesTls: boolean;
  readonly dispatchDeadline: number;
  readonly readDeadline: number;
  readonly callTimeout: number;
  readonly maxMessageBytes: number;
  readonly maxReceiveBytes: number;
  readonly streaming: boolean;
  readonly baggage: readonly string[];
  readonly logger: Logger;
}

const SMALLEST_MESSAGE = 64 * 1024;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Fills in what is left out, from PROTOJOBS_* and the defaults. Empty variables count as absent.
 *
 * @throws RangeError or TypeError for what cannot work.
 */
export function resolveOptions(
  given: ConnectionOptions | string = {},
  environment: Environment = process.env,
): ResolvedOptions {
  const options = typeof given === "string" ? { address: given } : given;
  const variable = (name: string): string | undefined => environment[`PROTOJOBS_${name}`] || undefined;
  const namesToken = options.token !== undefined || options.tokenFile !== undefined;
  const token = namesToken ? options.token : variable("TOKEN");
  const tokenFile = namesToken ? options.tokenFile : variable("TOKEN_FILE");
  const insecure = options.insecure ?? readFlag("PROTOJOBS_INSECURE", environment.PROTOJOBS_INSECURE);
  const endpoints = parseAddress(options.address ?? variable("ADDRESS") ?? DEFAULT_ADDRESS);
  const ca = options.ca ?? variable("CA");
  const cert = options.cert ?? variable("CERT");
  const key = options.key ?? variable("KEY");
  if (token !== undefined && tokenFile !== undefined) throw new TypeError("token and tokenFile exclude each other");
  if ((cert === undefined) !== (key === undefined)) throw new TypeError("cert and key belong together");
  const wantsTls = options.tls === true || ca !== undefined || cert !== undefined;
  if (insecure && wantsTls) throw new TypeError("insecure and ca, cert or tls exclude each other");
  const resolved: ResolvedOptions = {
    endpoints,
    token,
    tokenFile,
    ca,
    cert,
    key,
    serverName: options.serverName ?? variable("SERVER_NAME"),
    usesTls: !insecure && (wantsTls || !endpoints.every((endpoint) => endpoint.loopback)),
    dispatchDeadline: options.dispatchDeadline ?? 5,
    readDeadline: options.readDeadline ?? 10,
    callTimeout: options.callTimeout ?? Number(variable("CALL_TIMEOUT") ?? 30),
    maxMessageBytes: options.maxMessageBytes ?? 4 * 1024 * 1024,
    maxReceiveBytes: options.maxReceiveBytes ?? 16 * 1024 * 1024,
    streaming: options.streaming ?? true,
    baggage: options.baggage ?? [],
    logger: options.logger ?? silentLogger,
  };
  for (const name of ["dispatchDeadline", "readDeadline", "callTimeout"] as const) {
    if (!(resolved[name] > 0)) throw new RangeError(`${name} must be more than 0 s`);
  }
  if (Math.min(resolved.maxMessageBytes, resolved.maxReceiveBytes) < SMALLEST_MESSAGE) {
    throw new RangeError("maxMessageBytes and maxReceiveBytes must be at least 64 KiB");
  }
  return resolved;
}

function readFlag(name: string, value = ""): boolean {
  const text = value.toLowerCase();
  if (["1", "true", "yes", "on"].includes(text)) return true;
  if (["0", "false", "no", "off", ""].includes(text)) return false;
  throw new RangeError(`${name} must be true or false`);
}
