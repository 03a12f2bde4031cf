// Which of NVIDIA's Python packages holds a CUDA library, by the library's name.

/** By the first letters of a library's name. */
const packages: Readonly<Record<string, string>> = {
  cudart: 'cuda-runtime',
  cublas: 'cublas',
  cufft: 'cufft',
  curand: 'curand',
  cudnn: 'cudnn',
  nvrtc: 'cuda-nvrtc',
  cusolver: 'cusolver',
  cusparse: 'cusparse',
  nvJitLink: 'nvjitlink',
};

export interface NvidiaPackage {
  name: string;
  /** Of the package's version: cuRAND 10 belongs to CUDA 13. */
  major: number;
}

/** Undefined where no package holds it. From CUDA 13 on, names carry no suffix; cuDNN's always does. */
export function nvidiaPackage(library: string, cudaMajor: number): NvidiaPackage | undefined {
  const bare = library.replace(/^lib/, '');
  const stem = Object.keys(packages).find((key) => bare.startsWith(key));
  const own = /\.so\.(\d+)/.exec(library)?.[1];
  if (stem === undefined) return undefined;
  const suffixed = cudaMajor < 13 || stem === 'cudnn';
  const name = `nvidia-${packages[stem]}${suffixed ? `-cu${cudaMajor}` : ''}`;
  // Windows' names run the numbers together: 64_13 and 64_130_0 are both CUDA 13.
  const windows = /64_(\d+)/.exec(library)?.[1];
  const major = own ?? (windows?.length === 3 ? windows.slice(0, 2) : windows);
  return { name, major: Number(major ?? cudaMajor) };
}

/** What a person types. */
export function pipCommand(library: string, cudaMajor: number | undefined): string {
  const found = cudaMajor === undefined ? undefined : nvidiaPackage(library, cudaMajor);
  return found === undefined ? 'the package that holds it' : `pip install "${found.name}==${found.major}.*"`;
}
