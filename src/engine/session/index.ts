// The runtime's public face. Nothing outside this folder knows which library runs a model or how it is called.
export type {
  ArenaMemory,
  DeviceChoice,
  DeviceDescription,
  DeviceKind,
  DeviceTensor,
  Fetched,
  HostArray,
  LogLevel,
  MappedFile,
  NodeAssignment,
  PortDescription,
  Runtime,
  RuntimeOptions,
  Session,
  SessionOptions,
} from './contract';
export { openRuntime } from './runtime';
