// Lists a folder that a person named. Gives names, or an error that says why there are none.
import { readdir } from 'node:fs/promises';
import type { UserError, UserErrorOptions } from '../errors';
import { readError } from './diskErrors';

/** The names in `folder`. Throws `ErrorClass` with `<prefix>-missing` or `<prefix>-unreadable`. */
export async function namesIn(
  folder: string,
  ErrorClass: new (options: UserErrorOptions) => UserError,
  prefix: string,
): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw readError(error, folder, ErrorClass, prefix);
  }
}
