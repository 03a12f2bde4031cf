// How a trainer is set where a test does not care; dropout draws by another seed than the data.
import { plainTrainer as plain, type TrainerSettings } from '../../src/engine/train/trainer';

export const plainTrainer: TrainerSettings = { ...plain, seed: 3 };
