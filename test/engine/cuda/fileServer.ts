// A local HTTP server for one file and its index pages, that can behave badly on demand.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface Behaviour {
  /** Ends the connection after so many bytes of the answer. */
  cutAfter?: number;
  /** Ends properly after so many bytes, without stating a length. */
  shortOf?: number;
  /** Takes no ranges, and answers with everything. */
  ignoresRange?: boolean;
  status?: number;
  /** Sends the first half and then nothing. */
  stalls?: boolean;
  etag?: string;
}

export interface FileServer {
  url: string;
  behaviour: Behaviour;
  content: Buffer;
  /** `range` headers of the requests for the file, null without one. */
  ranges: (string | null)[];
  /** First byte of each answer with content. */
  starts: number[];
  /** Other pages by path. */
  pages: Record<string, string | (() => string)>;
}

/** Serves `content` at /file…; it ends with the test. */
export async function fileServer(t: TestContext, content: Buffer): Promise<FileServer> {
  const state: FileServer = { url: '', behaviour: {}, content, ranges: [], starts: [], pages: {} };
  const server = createServer((request, response) => answer(state, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => closed(server));
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return state;
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

function answer(state: FileServer, request: IncomingMessage, response: ServerResponse): void {
  const { behaviour, content } = state;
  const path = request.url ?? '';
  const page = state.pages[path];
  if (page !== undefined) {
    response.end(typeof page === 'string' ? page : page());
    return;
  }
  if (!path.startsWith('/file')) {
    response.writeHead(404).end();
    return;
  }
  const range = request.headers.range ?? null;
  state.ranges.push(range);
  if (behaviour.status !== undefined) {
    response.writeHead(behaviour.status).end('no');
    return;
  }
  const etag = behaviour.etag ?? '"one"';
  const same = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
  const start =
    behaviour.ignoresRange || !same || range === null ? 0 : Number(/^bytes=(\d+)-$/.exec(range)?.[1]);
  if (start >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    return;
  }
  state.starts.push(start);
  const body = content.subarray(start);
  const headers: Record<string, string> = { etag };
  if (behaviour.shortOf === undefined) headers['content-length'] = String(body.length);
  if (start > 0) headers['content-range'] = `bytes ${start}-${content.length - 1}/${content.length}`;
  response.writeHead(start > 0 ? 206 : 200, headers);
  if (behaviour.cutAfter !== undefined)
    response.write(body.subarray(0, behaviour.cutAfter), () => setTimeout(() => response.destroy(), 20));
  else if (behaviour.stalls) response.write(body.subarray(0, body.length / 2));
  else response.end(behaviour.shortOf === undefined ? body : body.subarray(0, behaviour.shortOf));
}
