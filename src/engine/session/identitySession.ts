// Opens a session on the identity model: the smallest way to reach a device's memory and its copies.
import type { DType } from '../dtype';
import { identityModel } from './identityModel';
import type { OrtApi, Pointer } from './ortApi';

/** The native session; the caller releases it. `configure` adds the device and its settings to the options. */
export function openIdentitySession(
  api: OrtApi,
  environment: Pointer,
  dtype: DType,
  configure: (sessionOptions: Pointer) => void,
): Pointer {
  const options = api.make('CreateSessionOptions');
  try {
    api.call('DisablePerSessionThreads', options);
    configure(options);
    const model = identityModel(dtype);
    return api.make('CreateSessionFromArray', environment, model, model.length, options);
  } finally {
    api.get('ReleaseSessionOptions', options);
  }
}
