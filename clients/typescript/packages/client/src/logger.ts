/** What a log line says besides its message. Never payloads, tokens or headers. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where clients and workers tell what happens: winston's loggers and most others fit, and so does `console`. */
export interface Logger {
  /** Tells what only somebody looking for a fault wants to know. */
  debug(message: string, fields?: LogFields): void;
  /** Tells what happens in ordinary life. */
  info(message: string, fields?: LogFields): void;
  /** Tells what may need somebody's attention. */
  warn(message: string, fields?: LogFields): void;
  /** Tells what does. */
  error(message: string, fields?: LogFields): void;
}

const nothing = (): void => undefined;

/** Tells nobody. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

const LEVELS = ["debug", "info", "warn", "error"] as const;

/** How much a JSON logger tells. */
export type LogLevel = (typeof LEVELS)[number];

/** Returns a logger that writes a JSON object a line, by default to standard error and from `info` on. */
export function jsonLogger(
  level: LogLevel = "info",
  write: (line: string) => void = (line) => void process.stderr.write(line),
): Logger {
  const least = LEVELS.indexOf(level);
  const at = (name: LogLevel): ((message: string, fields?: LogFields) => void) =>
    LEVELS.indexOf(name) < least
      ? nothing
      : (message, fields) => {
          write(`${JSON.stringify({ time: new Date().toISOString(), level: name, message, ...fields })}\n`);
        };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
