// The functions of ONNX Runtime's C API that we call: their place in the function table and their C types. The table
// only ever grows (static asserts in onnxruntime_c_api.cc hold each version's length), so a place never changes.

/** Version of the table that we ask for: the oldest that these places were tried with, beside that of ONNX Runtime 1.30. */
export const apiVersion = 28;

const pointer = 'void *';
const pointerOut = '_Out_ void **';
const sizeOut = '_Out_ size_t *';
const path = process.platform === 'win32' ? 'str16' : 'str';

/** `[place, argument types]` of functions that return an OrtStatus, null for success. */
export const statusFunctions = {
  // Environment and threads
  CreateEnvWithGlobalThreadPools: [119, ['int', 'str', pointer, pointerOut]],
  CreateThreadingOptions: [121, [pointerOut]],
  SetGlobalIntraOpNumThreads: [147, [pointer, 'int']],
  SetGlobalInterOpNumThreads: [148, [pointer, 'int']],
  SetGlobalSpinControl: [149, [pointer, 'int']],
  DisableTelemetryEvents: [6, [pointer]],
  // Memory
  CreateMemoryInfo: [68, ['str', 'int', 'int', 'int', pointerOut]],
  CreateArenaCfgV2: [164, ['str *', 'size_t *', 'size_t', pointerOut]],
  CreateAndRegisterAllocator: [144, [pointer, pointer, pointer]],
  CreateAndRegisterAllocatorV2: [259, [pointer, 'str', pointer, pointer, 'str *', 'str *', 'size_t']],
  CreateAllocator: [131, [pointer, pointer, pointerOut]],
  GetAllocatorWithDefaultOptions: [78, [pointerOut]],
  AllocatorFree: [76, [pointer, pointer]],
  AllocatorGetStats: [319, [pointer, pointerOut]],
  // Tensors
  CreateTensorAsOrtValue: [48, [pointer, pointer, 'size_t', 'int', pointerOut]],
  GetTensorMutableData: [51, [pointer, pointerOut]],
  CreateTensorWithDataAsOrtValue: [49, [pointer, pointer, 'size_t', pointer, 'size_t', 'int', pointerOut]],
  // Session options and providers
  CreateSessionOptions: [10, [pointerOut]],
  DisablePerSessionThreads: [120, [pointer]],
  AddSessionConfigEntry: [130, [pointer, 'str', 'str']],
  SetSessionGraphOptimizationLevel: [23, [pointer, 'int']],
  SetOptimizedModelFilePath: [11, [pointer, path]],
  EnableMemPattern: [16, [pointer]],
  DisableMemPattern: [17, [pointer]],
  EnableProfiling: [14, [pointer, path]],
  AddFreeDimensionOverrideByName: [124, [pointer, 'str', 'int64']],
  SessionOptionsAppendExecutionProvider: [216, [pointer, 'str', 'str *', 'str *', 'size_t']],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, [pointer, pointer]],
  CreateCUDAProviderOptions: [205, [pointerOut]],
  UpdateCUDAProviderOptions: [206, [pointer, 'str *', 'str *', 'size_t']],
  UpdateCUDAProviderOptionsWithValue: [263, [pointer, 'str', pointer]],
  RegisterExecutionProviderLibrary: [301, [pointer, 'str', path]],
  SessionOptionsAppendExecutionProvider_V2: [
    304,
    [pointer, pointer, pointer, 'size_t', 'str *', 'str *', 'size_t'],
  ],
  GetEpDevices: [303, [pointer, pointerOut, sizeOut]],
  // Session
  CreateSessionFromArray: [8, [pointer, pointer, 'size_t', pointer, pointerOut]],
  SessionGetInputCount: [30, [pointer, sizeOut]],
  SessionGetOutputCount: [31, [pointer, sizeOut]],
  SessionGetInputName: [36, [pointer, 'size_t', pointer, pointerOut]],
  SessionGetOutputName: [37, [pointer, 'size_t', pointer, pointerOut]],
  SessionGetInputTypeInfo: [33, [pointer, 'size_t', pointerOut]],
  SessionGetOutputTypeInfo: [34, [pointer, 'size_t', pointerOut]],
  SessionGetMemoryInfoForInputs: [380, [pointer, pointer, 'size_t']],
  SessionEndProfiling: [110, [pointer, pointer, pointerOut]],
  CastTypeInfoToTensorInfo: [55, [pointer, pointerOut]],
  GetTensorElementType: [60, [pointer, '_Out_ int *']],
  GetDimensionsCount: [61, [pointer, sizeOut]],
  GetDimensions: [62, [pointer, pointer, 'size_t']],
  GetSymbolicDimensions: [63, [pointer, pointer, 'size_t']],
  Session_GetEpGraphAssignmentInfo: [407, [pointer, pointerOut, sizeOut]],
  EpAssignedSubgraph_GetEpName: [408, [pointer, pointerOut]],
  EpAssignedSubgraph_GetNodes: [409, [pointer, pointerOut, sizeOut]],
  EpAssignedNode_GetName: [410, [pointer, pointerOut]],
  EpAssignedNode_GetOperatorType: [412, [pointer, pointerOut]],
  // Runs
  CreateRunOptions: [39, [pointerOut]],
  AddRunConfigEntry: [165, [pointer, 'str', 'str']],
  RunOptionsSetTerminate: [46, [pointer]],
  RunOptionsUnsetTerminate: [47, [pointer]],
  CreateIoBinding: [134, [pointer, pointerOut]],
  BindInput: [136, [pointer, 'str', pointer]],
  BindOutput: [137, [pointer, 'str', pointer]],
  SynchronizeBoundInputs: [202, [pointer]],
  SynchronizeBoundOutputs: [203, [pointer]],
  RunWithBinding: [133, [pointer, pointer, pointer]],
} as const;

/** `[place, return type, argument types]` of the others. */
export const plainFunctions = {
  CreateStatus: [0, pointer, ['int', 'str']],
  GetErrorCode: [1, 'int', [pointer]],
  GetErrorMessage: [2, 'str', [pointer]],
  ReleaseStatus: [93, 'void', [pointer]],
  ReleaseEnv: [92, 'void', [pointer]],
  ReleaseMemoryInfo: [94, 'void', [pointer]],
  ReleaseSession: [95, 'void', [pointer]],
  ReleaseValue: [96, 'void', [pointer]],
  ReleaseRunOptions: [97, 'void', [pointer]],
  ReleaseTypeInfo: [98, 'void', [pointer]],
  ReleaseSessionOptions: [100, 'void', [pointer]],
  ReleaseThreadingOptions: [122, 'void', [pointer]],
  ReleaseAllocator: [132, 'void', [pointer]],
  ReleaseIoBinding: [135, 'void', [pointer]],
  ReleaseArenaCfg: [157, 'void', [pointer]],
  ReleaseCUDAProviderOptions: [208, 'void', [pointer]],
  GetBuildInfoString: [254, 'str', []],
  GetKeyValuePairs: [298, 'void', [pointer, pointerOut, pointerOut, sizeOut]],
  ReleaseKeyValuePairs: [300, 'void', [pointer]],
  HardwareDevice_Vendor: [309, 'str', [pointer]],
  HardwareDevice_Metadata: [311, pointer, [pointer]],
  EpDevice_EpName: [312, 'str', [pointer]],
  EpDevice_Device: [316, pointer, [pointer]],
} as const;

/** Values of the C enumerations that we pass. */
export const ort = {
  logging: { verbose: 0, info: 1, warning: 2, error: 3, fatal: 4 },
  optimization: { none: 0, basic: 1, extended: 2, all: 99 },
  allocator: { device: 0, arena: 1 },
  memory: { default: 0 },
  arena: { sameAsRequested: 1 },
} as const;
