// What a package says of itself: its version (a wheel's METADATA, NuGet's .nuspec) and its members' checksums (RECORD).
import { type Container, memberText } from './archive';

export interface PackageFacts {
  /** Null where the container is no package. */
  version: string | null;
  /** SHA-256 in hexadecimal digits by member path. */
  checksums: ReadonlyMap<string, string>;
}

const documents = {
  metadata: /^(onnxruntime|nvidia)[\w.]*-[\w.+]+\.dist-info\/METADATA$/i,
  record: /^(onnxruntime|nvidia)[\w.]*-[\w.+]+\.dist-info\/RECORD$/i,
  nuspec: /^Microsoft\.ML\.OnnxRuntime[\w.]*\.nuspec$/i,
} as const;

export const packageFacts = {
  /** Whether a member is one of the documents. */
  wants: (member: string): boolean => Object.values(documents).some((pattern) => pattern.test(member)),

  async read({ members }: Container): Promise<PackageFacts> {
    const text = async (pattern: RegExp): Promise<string> => {
      const member = members.find(({ path }) => pattern.test(path));
      return member === undefined ? '' : memberText(member);
    };
    const version =
      /^Version:\s*(\S+)\s*$/m.exec(await text(documents.metadata))?.[1] ??
      /<version>\s*([^<\s]+)\s*<\/version>/.exec(await text(documents.nuspec))?.[1];
    const checksums = new Map<string, string>();
    // Rows such as `onnxruntime/capi/x.so,sha256=<base64 without padding>,<bytes>`.
    for (const line of (await text(documents.record)).split('\n')) {
      const [, path, digest] = /^"?([^",]+)"?,sha256=([\w-]+),\d*\s*$/.exec(line) ?? [];
      if (path !== undefined && digest !== undefined)
        checksums.set(path, Buffer.from(digest, 'base64url').toString('hex'));
    }
    return { version: version ?? null, checksums };
  },
};
