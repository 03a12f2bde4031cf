// Products of matrices of any of cuBLAS' types on one core: strided views in, C = alpha·A·B + beta·C out. Knows nothing of streams,
// handles or leading dimensions. Sums of 16-bit numbers are fp32 and rounded once, to nearest even; those of integers are exact.
#pragma once
#include <math.h>
#include <stdlib.h>
#include <string.h>

/** CUDA's numbers for the types of elements (cudaDataType). */
enum { f32 = 0, f64 = 1, f16 = 2, i8 = 3, i32 = 10, bf16 = 14 };
static inline long bytesOf(int type) { return type == f64 ? 8 : type == f32 || type == i32 ? 4 : type == i8 ? 1 : 2; }

static inline float floatOfBf16(unsigned short bits) {
  const unsigned wide = (unsigned)bits << 16;
  float x;
  return memcpy(&x, &wide, 4), x;
}
static inline unsigned short bf16OfFloat(float x) {
  unsigned bits;
  memcpy(&bits, &x, 4);
  return x != x ? 0x7FFF : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

/** A view: element (i, j) lies i·row + j·column elements from `data`. */
typedef struct { void *data; int type; long row, column; } Matrix;
static inline void *at(const Matrix *x, long i, long j) { return (char *)x->data + (i * x->row + j * x->column) * bytesOf(x->type); }
static inline Matrix transposed(Matrix x) { return (Matrix){x.data, x.type, x.column, x.row}; }

/** What is packed at a time: A's panels fit the second cache, a panel of B the first. */
enum { pieceRows = 256, pieceColumns = 512, pieceDepth = 256 };

#define REAL float
#define NAMED(name) name##Single
#include "blocked.h"
#undef REAL
#undef NAMED
#define REAL double
#define NAMED(name) name##Double
#include "blocked.h"
#undef REAL
#undef NAMED

/** C (m × n) = alpha·A (m × k)·B (k × n) + beta·C. */
static void multiply(long m, long n, long k, double alpha, Matrix a, Matrix b, double beta, Matrix c) {
  // A tile has many rows and few columns: the longer side lies along its rows.
  if (m < 2 * rowsSingle && m < n) return multiply(n, m, k, alpha, transposed(b), transposed(a), beta, transposed(c));
  if (c.type == f64 || a.type == i8) productDouble(m, n, k, alpha, &a, &b, beta, &c);
  else productSingle(m, n, k, alpha, &a, &b, beta, &c);
}
