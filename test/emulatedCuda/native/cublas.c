// cuBLAS without a device, for ONNX Runtime's CUDA provider: what the real library would refuse is refused with a line on stderr, the
// rest is computed in its turn on the handle's stream. Math modes (TF32) do not change a bit here; sums of COMPUTE_16F are fp32.
// Where EMULATED_CUDA_PRODUCTS names a file, every product that runs is a line of it: m n k batch typeA typeB typeC transA transB.
// What is not here returns 0: factorisations of batches (getrf, getri).
#include <stdarg.h>
#include <stdio.h>
#include "products.h"
#include "stream.h"

enum { success = 0, notInitialized = 1, invalidValue = 7, notSupported = 15 };
/** Ways to compute (cublasComputeType_t) that say the type of alpha and beta. */
enum { compute16F = 64, compute16FPedantic = 65, compute64F = 70, compute64FPedantic = 71, compute32I = 72, compute32IPedantic = 73,
       compute64FEmulated = 79 };
typedef long long Long;

typedef struct { void *stream; int mathMode; } Handle;
int cublasCreate_v2(Handle **handle) { return *handle = calloc(1, sizeof(Handle)), success; }
int cublasDestroy_v2(Handle *handle) { return free(handle), success; }
int cublasSetStream_v2(Handle *handle, void *stream) { return handle->stream = stream, success; }
int cublasGetMathMode(Handle *handle, int *mode) { return *mode = handle->mathMode, success; }
int cublasSetMathMode(Handle *handle, int mode) { return handle->mathMode = mode, success; }
const char *cublasGetStatusName(int status) {
  return status == success          ? "CUBLAS_STATUS_SUCCESS"
         : status == notInitialized ? "CUBLAS_STATUS_NOT_INITIALIZED"
         : status == invalidValue   ? "CUBLAS_STATUS_INVALID_VALUE"
         : status == notSupported   ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                    : "an unknown status";
}
const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }

static int refuse(const char *function, int status, const char *format, ...) {
  fprintf(stderr, "%s: ", function);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, " (%s)\n", cublasGetStatusName(status));
  return status;
}

static int tooShort(const char *function, const char *matrix, int leading, int rows) {
  return leading >= (rows > 1 ? rows : 1)
             ? success
             : refuse(function, invalidValue, "ld%s is %d, below the %d rows of %s as it lies", matrix, leading, rows, matrix);
}
static int checked(const char *function, Handle *handle, int transA, int transB, int m, int n, int k, const void *alpha, const void *beta) {
  if (!handle) return refuse(function, notInitialized, "no handle");
  if (transA < 0 || transA > 2) return refuse(function, invalidValue, "transA is %d", transA);
  if (transB < 0 || transB > 2) return refuse(function, invalidValue, "transB is %d", transB);
  if (m < 0 || n < 0 || k < 0) return refuse(function, invalidValue, "m %d n %d k %d", m, n, k);
  if (!alpha || !beta) return refuse(function, invalidValue, "no alpha or beta");
  return success;
}

// Products.

typedef struct {
  int transA, transB, m, n, k, batch, lda, ldb, ldc;
  const void *a, *b;
  void *c;
  int typeA, typeB, typeC;
  /** Elements between the matrices of a batch; with `listed`, a, b and c are arrays of pointers on the device instead. */
  Long strideA, strideB, strideC;
  int listed;
  double alpha, beta;
} Product;

static void writeLine(const Product *p) {
  static FILE *lines;
  const char *path = getenv("EMULATED_CUDA_PRODUCTS");
  if (!path || (!lines && !(lines = fopen(path, "a")))) return;
  static const char *const names[] = {[f32] = "f32", [f64] = "f64", [f16] = "f16", [i8] = "i8", [i32] = "i32", [bf16] = "bf16"};
  fprintf(lines, "%d %d %d %d %s %s %s %c %c\n", p->m, p->n, p->k, p->batch, names[p->typeA], names[p->typeB], names[p->typeC],
          "NTC"[p->transA], "NTC"[p->transB]);
  fflush(lines);
}

static void runProduct(void *data) {
  const Product *p = data;
  writeLine(p);
  for (Long i = 0; i < p->batch; i++) {
    const void *a = p->listed ? ((void **)p->a)[i] : (char *)p->a + i * p->strideA * bytesOf(p->typeA);
    const void *b = p->listed ? ((void **)p->b)[i] : (char *)p->b + i * p->strideB * bytesOf(p->typeB);
    void *c = p->listed ? ((void **)p->c)[i] : (char *)p->c + i * p->strideC * bytesOf(p->typeC);
    const Matrix left = {(void *)a, p->typeA, 1, p->lda}, right = {(void *)b, p->typeB, 1, p->ldb}, result = {c, p->typeC, 1, p->ldc};
    multiply(p->m, p->n, p->k, p->alpha, p->transA ? transposed(left) : left, p->transB ? transposed(right) : right, p->beta, result);
  }
}

/** Checks a product, and puts it on the stream. */
static int product(const char *function, Handle *handle, Product p, int compute, const void *alpha, const void *beta) {
  const int bad = checked(function, handle, p.transA, p.transB, p.m, p.n, p.k, alpha, beta) ||
                  tooShort(function, "a", p.lda, p.transA ? p.k : p.m) || tooShort(function, "b", p.ldb, p.transB ? p.n : p.k) ||
                  tooShort(function, "c", p.ldc, p.m);
  if (bad) return handle ? invalidValue : notInitialized;
  if (p.batch < 0) return refuse(function, invalidValue, "batch of %d", p.batch);
  const int a = p.typeA, c = p.typeC;
  int known = a == p.typeB;
  switch (compute) {
    case compute16F:
    case compute16FPedantic:
      known &= a == f16 && c == f16;
      p.alpha = *(const _Float16 *)alpha, p.beta = *(const _Float16 *)beta;
      break;
    case compute64F:
    case compute64FPedantic:
    case compute64FEmulated:
      known &= a == f64 && c == f64;
      p.alpha = *(const double *)alpha, p.beta = *(const double *)beta;
      break;
    case compute32I:
    case compute32IPedantic:
      known &= a == i8 && c == i32 && p.lda % 4 == 0 && p.ldb % 4 == 0;
      p.alpha = *(const int *)alpha, p.beta = *(const int *)beta;
      break;
    // CUBLAS_COMPUTE_32F, pedantic, FAST_16F, FAST_16BF, FAST_TF32, EMULATED_16BFX9.
    case 68: case 69: case 74: case 75: case 77: case 78:
      known &= ((a == f16 || a == bf16) && c == a) || ((a == f16 || a == bf16 || a == f32 || a == i8) && c == f32);
      p.alpha = *(const float *)alpha, p.beta = *(const float *)beta;
      break;
    default: known = 0;
  }
  if (!known)
    return refuse(function, notSupported, "types %d, %d and %d with compute type %d, lda %d, ldb %d", a, p.typeB, c, compute, p.lda, p.ldb);
  if (p.m && p.n && p.batch) emulateLater(handle->stream, runProduct, &p, sizeof p);
  return success;
}

#define PRODUCT(LISTED, TYPE_A, TYPE_B, TYPE_C, STRIDE_A, STRIDE_B, STRIDE_C, BATCH) \
  ((Product){.transA = transA, .transB = transB, .m = m, .n = n, .k = k, .batch = BATCH, .lda = lda, .ldb = ldb, .ldc = ldc, .a = a, .b = b, \
             .c = (void *)(c), .typeA = TYPE_A, .typeB = TYPE_B, .typeC = TYPE_C, .strideA = STRIDE_A, .strideB = STRIDE_B, .strideC = STRIDE_C,     \
             .listed = LISTED})
enum { compute32F = 68 };

int cublasSgemm_v2(Handle *handle, int transA, int transB, int m, int n, int k, const float *alpha, const void *a, int lda, const void *b,
                   int ldb, const float *beta, void *c, int ldc) {
  return product(__func__, handle, PRODUCT(0, f32, f32, f32, 0, 0, 0, 1), compute32F, alpha, beta);
}
int cublasDgemm_v2(Handle *handle, int transA, int transB, int m, int n, int k, const double *alpha, const void *a, int lda, const void *b,
                   int ldb, const double *beta, void *c, int ldc) {
  return product(__func__, handle, PRODUCT(0, f64, f64, f64, 0, 0, 0, 1), compute64F, alpha, beta);
}
int cublasSgemmBatched(Handle *handle, int transA, int transB, int m, int n, int k, const float *alpha, const void *const *a, int lda,
                       const void *const *b, int ldb, const float *beta, void *const *c, int ldc, int batch) {
  return product(__func__, handle, PRODUCT(1, f32, f32, f32, 0, 0, 0, batch), compute32F, alpha, beta);
}
int cublasDgemmBatched(Handle *handle, int transA, int transB, int m, int n, int k, const double *alpha, const void *const *a, int lda,
                       const void *const *b, int ldb, const double *beta, void *const *c, int ldc, int batch) {
  return product(__func__, handle, PRODUCT(1, f64, f64, f64, 0, 0, 0, batch), compute64F, alpha, beta);
}
int cublasSgemmStridedBatched(Handle *handle, int transA, int transB, int m, int n, int k, const float *alpha, const void *a, int lda,
                              Long strideA, const void *b, int ldb, Long strideB, const float *beta, void *c, int ldc, Long strideC,
                              int batch) {
  return product(__func__, handle, PRODUCT(0, f32, f32, f32, strideA, strideB, strideC, batch), compute32F, alpha, beta);
}
int cublasDgemmStridedBatched(Handle *handle, int transA, int transB, int m, int n, int k, const double *alpha, const void *a, int lda,
                              Long strideA, const void *b, int ldb, Long strideB, const double *beta, void *c, int ldc, Long strideC,
                              int batch) {
  return product(__func__, handle, PRODUCT(0, f64, f64, f64, strideA, strideB, strideC, batch), compute64F, alpha, beta);
}
int cublasGemmEx(Handle *handle, int transA, int transB, int m, int n, int k, const void *alpha, const void *a, int typeA, int lda,
                 const void *b, int typeB, int ldb, const void *beta, void *c, int typeC, int ldc, int compute, int algorithm) {
  return product(__func__, handle, PRODUCT(0, typeA, typeB, typeC, 0, 0, 0, 1), compute, alpha, beta);
}
int cublasGemmBatchedEx(Handle *handle, int transA, int transB, int m, int n, int k, const void *alpha, const void *const *a, int typeA,
                        int lda, const void *const *b, int typeB, int ldb, const void *beta, void *const *c, int typeC, int ldc, int batch,
                        int compute, int algorithm) {
  return product(__func__, handle, PRODUCT(1, typeA, typeB, typeC, 0, 0, 0, batch), compute, alpha, beta);
}
int cublasGemmStridedBatchedEx(Handle *handle, int transA, int transB, int m, int n, int k, const void *alpha, const void *a, int typeA,
                               int lda, Long strideA, const void *b, int typeB, int ldb, Long strideB, const void *beta, void *c, int typeC,
                               int ldc, Long strideC, int batch, int compute, int algorithm) {
  return product(__func__, handle, PRODUCT(0, typeA, typeB, typeC, strideA, strideB, strideC, batch), compute, alpha, beta);
}

// Sums of two matrices: C = alpha·op(A) + beta·op(B).

typedef struct { int m, n, type; double alpha, beta; Matrix a, b, c; } Sum;
static double read(const Matrix *x, long i, long j) {
  const void *place = at(x, i, j);
  return x->type == f64 ? *(const double *)place : *(const float *)place;
}
static void runSum(void *data) {
  const Sum *s = data;
  for (long j = 0; j < s->n; j++)
    for (long i = 0; i < s->m; i++) {
      const double x = (s->alpha ? s->alpha * read(&s->a, i, j) : 0) + (s->beta ? s->beta * read(&s->b, i, j) : 0);
      if (s->type == f64) *(double *)at(&s->c, i, j) = x;
      else *(float *)at(&s->c, i, j) = x;
    }
}
static int sum(const char *function, Handle *handle, int type, int transA, int transB, int m, int n, const void *alpha, const void *a, int lda,
               const void *beta, const void *b, int ldb, void *c, int ldc) {
  const int bad = checked(function, handle, transA, transB, m, n, 0, alpha, beta) || tooShort(function, "a", lda, transA ? n : m) ||
                  tooShort(function, "b", ldb, transB ? n : m) || tooShort(function, "c", ldc, m);
  if (bad) return handle ? invalidValue : notInitialized;
  if ((c == a && (transA || lda != ldc)) || (c == b && (transB || ldb != ldc)))
    return refuse(function, invalidValue, "C is one of the operands, transposed or with another leading dimension");
  const Matrix left = {(void *)a, type, 1, lda}, right = {(void *)b, type, 1, ldb};
  const Sum s = {m, n, type, type == f64 ? *(const double *)alpha : *(const float *)alpha,
                 type == f64 ? *(const double *)beta : *(const float *)beta, transA ? transposed(left) : left,
                 transB ? transposed(right) : right, {c, type, 1, ldc}};
  emulateLater(handle->stream, runSum, &s, sizeof s);
  return success;
}
int cublasSgeam(Handle *handle, int transA, int transB, int m, int n, const float *alpha, const float *a, int lda, const float *beta,
                const float *b, int ldb, float *c, int ldc) {
  return sum(__func__, handle, f32, transA, transB, m, n, alpha, a, lda, beta, b, ldb, c, ldc);
}
int cublasDgeam(Handle *handle, int transA, int transB, int m, int n, const double *alpha, const double *a, int lda, const double *beta,
                const double *b, int ldb, double *c, int ldc) {
  return sum(__func__, handle, f64, transA, transB, m, n, alpha, a, lda, beta, b, ldb, c, ldc);
}

// Vectors.

typedef struct { long n, bytes, stepX, stepY; const void *x; void *y; float alpha; } Vector;
static void runCopy(void *data) {
  const Vector *v = data;
  // With a negative step a vector is walked from its other end.
  const long x = v->stepX < 0 ? (1 - v->n) * v->stepX : 0, y = v->stepY < 0 ? (1 - v->n) * v->stepY : 0;
  for (long i = 0; i < v->n; i++)
    memcpy((char *)v->y + (y + i * v->stepY) * v->bytes, (char *)v->x + (x + i * v->stepX) * v->bytes, v->bytes);
}
static int copy(const char *function, Handle *handle, int n, long bytes, const void *x, int stepX, void *y, int stepY) {
  if (!handle) return refuse(function, notInitialized, "no handle");
  const Vector v = {n, bytes, stepX, stepY, x, y};
  if (n > 0) emulateLater(handle->stream, runCopy, &v, sizeof v);
  return success;
}
int cublasScopy_v2(Handle *handle, int n, const float *x, int stepX, float *y, int stepY) {
  return copy(__func__, handle, n, 4, x, stepX, y, stepY);
}
int cublasDcopy_v2(Handle *handle, int n, const double *x, int stepX, double *y, int stepY) {
  return copy(__func__, handle, n, 8, x, stepX, y, stepY);
}
static void runScale(void *data) {
  const Vector *v = data;
  for (long i = 0; i < v->n; i++) ((float *)v->y)[i * v->stepY] *= v->alpha;
}
int cublasSscal_v2(Handle *handle, int n, const float *alpha, float *x, int step) {
  if (!handle) return refuse(__func__, notInitialized, "no handle");
  if (!alpha) return refuse(__func__, invalidValue, "no alpha");
  const Vector v = {.n = n, .stepY = step, .y = x, .alpha = *alpha};
  if (n > 0 && step > 0) emulateLater(handle->stream, runScale, &v, sizeof v);
  return success;
}
