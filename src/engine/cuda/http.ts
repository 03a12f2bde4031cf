// The few HTTP requests of an installation, with their failures in words. Nothing is sent but the address.
import { SessionError } from '../errors';

/** Index pages have some MB at most. */
const maximumText = 32 << 20;
/** A server that says nothing for so long is given up; a download can go on later. */
export const silenceMs = 60_000;

/** Requests an address. @throws SessionError `download-failed` with the server's or the system's words. */
export async function request(
  url: string,
  signal: AbortSignal,
  headers: Record<string, string> = {},
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal, headers, redirect: 'follow' });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw unreachable(url, cause);
  }
  if (response.ok || response.status === 416) return response;
  await response.body?.cancel().catch(() => {});
  throw new SessionError({
    code: 'download-failed',
    message: `${url} answers ${response.status} ${response.statusText}.`.replace(' .', '.'),
    remedy: 'Try again later, or give the files by --from.',
    facts: { url, status: response.status },
  });
}

/** A page as text. */
export async function fetchText(url: string, signal: AbortSignal): Promise<string> {
  const response = await request(url, signal);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const part of response.body ?? []) {
      parts.push(part as Uint8Array);
      bytes += (part as Uint8Array).byteLength;
      if (bytes > maximumText) break;
    }
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw unreachable(url, cause);
  }
  if (bytes > maximumText) throw unreachable(url, new Error(`it sends more than ${maximumText} bytes`));
  return Buffer.concat(parts).toString('utf8');
}

/** The error for a server that cannot be reached or that breaks off. */
export function unreachable(url: string, cause: unknown): SessionError {
  const inner = (cause as { cause?: unknown }).cause;
  const words = inner instanceof Error && inner.message !== '' ? inner.message : (cause as Error).message;
  const proxy = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'].find((name) => process.env[name]);
  const hint =
    proxy === undefined || process.env.NODE_USE_ENV_PROXY === '1'
      ? 'Check the network'
      : `${proxy} is followed only with NODE_USE_ENV_PROXY=1 on Node 24 or newer: set it`;
  return new SessionError({
    code: 'download-failed',
    message: `${url} cannot be fetched: ${words}.`,
    remedy: `${hint}, or fetch the package elsewhere and give it by --from. What was fetched is kept.`,
    facts: { url },
    cause,
  });
}
