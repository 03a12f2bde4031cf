// Copies a tensor between memories by running an identity model with both ends bound, the one way that every provider
// supports. One session per element type, made when first needed.
import type { DType } from '../dtype';
import type { Environment } from './environment';
import { openIdentitySession } from './identitySession';
import type { Pointer } from './ortApi';

export class BoundCopy {
  private readonly sessions = new Map<DType, Pointer>();

  constructor(
    private readonly environment: Environment,
    /** Adds the device to session options. */
    private readonly configure: (sessionOptions: Pointer) => void,
  ) {}

  /** Copies one OrtValue into another of the same type and shape and waits for it. */
  copy(dtype: DType, from: Pointer, to: Pointer): void {
    const { api } = this.environment;
    const session = this.session(dtype);
    const binding = api.make('CreateIoBinding', session);
    try {
      api.call('BindInput', binding, 'x', from);
      api.call('BindOutput', binding, 'y', to);
      api.call('SynchronizeBoundInputs', binding);
      api.call('RunWithBinding', session, null, binding);
      api.call('SynchronizeBoundOutputs', binding);
    } finally {
      api.get('ReleaseIoBinding', binding);
    }
  }

  release(): void {
    for (const session of this.sessions.values()) this.environment.api.get('ReleaseSession', session);
    this.sessions.clear();
  }

  private session(dtype: DType): Pointer {
    const known = this.sessions.get(dtype);
    if (known !== undefined) return known;
    const { api, pointer } = this.environment;
    const session = openIdentitySession(api, pointer, dtype, this.configure);
    this.sessions.set(dtype, session);
    return session;
  }
}
