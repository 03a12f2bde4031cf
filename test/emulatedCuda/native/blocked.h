// One product t = op(A)·op(B) for small enough pieces of the matrices, in REAL, which the includer defines (float or double): pieces are
// packed into panels, a tile of the result stays in registers. Included once for each REAL; `NAMED` gives its functions their names.
// Both matrices come with two strides, so that a transpose is an exchange of strides.

typedef REAL NAMED(Vector) __attribute__((vector_size(32)));
enum {
  NAMED(lanes) = 32 / sizeof(REAL),
  /** Rows of a tile: two vectors. */
  NAMED(rows) = 2 * NAMED(lanes),
};

/** `width` elements side by side (`across` apart; those from `valid` on are 0) at each of `depth` places (`along` apart). */
static inline __attribute__((always_inline)) void NAMED(pack)(REAL *to, const void *from, int type, long across, long along, long valid,
                                                             long depth, long width) {
#define PACK(TYPE, VALUE)                                                          \
  {                                                                                \
    const TYPE *source = from;                                                     \
    const long some = valid < width ? valid : width;                               \
    if (some < width) memset(to, 0, sizeof(REAL) * width * depth);                 \
    if (across == 1 && some == width)                                              \
      for (long p = 0; p < depth; p++)                                             \
        for (long i = 0; i < width; i++) {                                         \
          const TYPE x = source[i + p * along];                                    \
          to[p * width + i] = VALUE;                                               \
        }                                                                          \
    else                                                                           \
      for (long i = 0; i < some; i++)                                              \
        for (long p = 0; p < depth; p++) {                                         \
          const TYPE x = source[i * across + p * along];                           \
          to[p * width + i] = VALUE;                                               \
        }                                                                          \
    return;                                                                        \
  }
  switch (type) {
    case f32: PACK(float, x)
    case f64: PACK(double, x)
    case f16: PACK(_Float16, (float)x)
    case bf16: PACK(unsigned short, floatOfBf16(x))
    case i8: PACK(signed char, x)
  }
#undef PACK
}

static void NAMED(packRows)(REAL *to, const void *from, const Matrix *a, long valid, long depth) {
  NAMED(pack)(to, from, a->type, a->row, a->column, valid, depth, NAMED(rows));
}
static void NAMED(packColumns)(REAL *to, const void *from, const Matrix *b, long depth, long width) {
  NAMED(pack)(to, from, b->type, b->column, b->row, width, depth, width);
}

/** Adds a panel of A times a panel of B (`width` columns) to a tile of t. */
static inline __attribute__((always_inline)) void NAMED(tile)(long depth, const REAL *a, const REAL *b, REAL *t, const int width) {
  NAMED(Vector) sum[6][2] = {0};
  for (long p = 0; p < depth; p++, a += NAMED(rows), b += width) {
    NAMED(Vector) low, high;
    memcpy(&low, a, 32);
    memcpy(&high, a + NAMED(lanes), 32);
#pragma GCC unroll 6
    for (int j = 0; j < width; j++) sum[j][0] += low * b[j], sum[j][1] += high * b[j];
  }
#pragma GCC unroll 6
  for (int j = 0; j < width; j++)
    for (int i = 0; i < NAMED(lanes); i++) {
      t[j * pieceRows + i] += sum[j][0][i];
      t[j * pieceRows + NAMED(lanes) + i] += sum[j][1][i];
    }
}
static void NAMED(tileOf)(long depth, const REAL *a, const REAL *b, REAL *t, int width) {
  switch (width) {
    case 1: return NAMED(tile)(depth, a, b, t, 1);
    case 2: return NAMED(tile)(depth, a, b, t, 2);
    case 3: return NAMED(tile)(depth, a, b, t, 3);
    case 4: return NAMED(tile)(depth, a, b, t, 4);
    case 5: return NAMED(tile)(depth, a, b, t, 5);
    case 6: return NAMED(tile)(depth, a, b, t, 6);
  }
}

/** t[j·pieceRows + i] = Σp A[i, p]·B[p, j] for m ≤ pieceRows, n ≤ pieceColumns. */
static void NAMED(piece)(long m, long n, long k, const Matrix *a, const Matrix *b, REAL *t, REAL *panelsA, REAL *panelsB) {
  const long panels = (n + 5) / 6, width = (n + panels - 1) / panels;
  for (long j = 0; j < n; j++) memset(t + j * pieceRows, 0, (m + NAMED(rows) - 1) / NAMED(rows) * NAMED(rows) * sizeof(REAL));
  for (long p = 0; p < k; p += pieceDepth) {
    const long depth = k - p < pieceDepth ? k - p : pieceDepth;
    for (long j = 0; j < n; j += width) {
      const long own = n - j < width ? n - j : width;
      NAMED(packColumns)(panelsB + j * depth, at(b, p, j), b, depth, own);
    }
    for (long i = 0; i < m; i += NAMED(rows))
      NAMED(packRows)(panelsA + i * depth, at(a, i, p), a, m - i, depth);
    for (long j = 0; j < n; j += width)
      for (long i = 0; i < m; i += NAMED(rows))
        NAMED(tileOf)(depth, panelsA + i * depth, panelsB + j * depth, t + j * pieceRows + i, n - j < width ? n - j : width);
  }
}

/** C = alpha·A·B + beta·C, rounded once; C is not read where beta is 0, A and B are not where alpha is 0. */
static void NAMED(product)(long m, long n, long k, REAL alpha, const Matrix *a, const Matrix *b, REAL beta, const Matrix *c) {
  static __thread REAL *panelsA, *panelsB, *t;
  if (!t) {
    panelsA = aligned_alloc(64, sizeof(REAL) * pieceRows * pieceDepth);
    panelsB = aligned_alloc(64, sizeof(REAL) * pieceColumns * pieceDepth);
    t = aligned_alloc(64, sizeof(REAL) * pieceRows * pieceColumns);
  }
  for (long j = 0; j < n; j += pieceColumns)
    for (long i = 0; i < m; i += pieceRows) {
      const long columns = n - j < pieceColumns ? n - j : pieceColumns, rows = m - i < pieceRows ? m - i : pieceRows;
      const Matrix left = {at(a, i, 0), a->type, a->row, a->column}, right = {at(b, 0, j), b->type, b->row, b->column};
      NAMED(piece)(rows, columns, alpha == 0 ? 0 : k, &left, &right, t, panelsA, panelsB);
      void *to = at(c, i, j);
#define STORE(TYPE, OLD, VALUE)                                          \
  for (long v = 0; v < columns; v++)                                     \
    for (long u = 0; u < rows; u++) {                                    \
      TYPE *place = (TYPE *)to + u * c->row + v * c->column;             \
      REAL x = alpha == 0 ? 0 : alpha * t[v * pieceRows + u];            \
      if (beta != 0) {                                                   \
        const TYPE old = *place;                                         \
        x += beta * OLD;                                                 \
      }                                                                  \
      *place = VALUE;                                                    \
    }                                                                    \
  break;
      switch (c->type) {
        case f32: STORE(float, old, x)
        case f64: STORE(double, old, x)
        case f16: STORE(_Float16, (REAL)old, (_Float16)x)
        case bf16: STORE(unsigned short, floatOfBf16(old), bf16OfFloat(x))
        case i32: STORE(int, old, (int)(long)x)
      }
#undef STORE
    }
}
