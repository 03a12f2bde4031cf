// The engine's calls, one function each, for the trainer process.
export { train } from '../train/run';
export { average } from './average';
export { compose } from './compose';
export { closeSession, openSession, say } from './conversations';
export { convert } from './convert';
export { diff } from './diff';
export { doctor } from './doctor';
export { estimate } from './estimate';
export { evaluate } from './evaluate';
export { extract } from './extract';
export { generate } from './generate';
export { inspect } from './inspect';
export { installCuda } from './installCuda';
export { intrinsicDimension } from './intrinsicDimension';
export { merge } from './merge';
export { resize } from './resize';
