// cuBLASLt without a device. ONNX Runtime's CUDA provider takes products from it for GemmFloat8 and the quantised operators with an
// ordering of their own (QOrdered…) alone, which the project does not use: both are refused, so that nothing wrong is computed.
#include <stdio.h>

enum { notSupported = 15 };
static int refuse(const char *function) {
  fprintf(stderr, "%s: not in the stand-in for cuBLASLt (CUBLAS_STATUS_NOT_SUPPORTED)\n", function);
  return notSupported;
}

int cublasLtMatmulAlgoGetHeuristic(void *handle, void *product, void *a, void *b, void *c, void *d, void *preference, int asked, void *found,
                                   int *count) {
  return *count = 0, refuse(__func__);
}
int cublasLtMatmul(void) { return refuse(__func__); }
int cublasLtMatrixTransform(void) { return refuse(__func__); }
