"""C++ text that every generated kernel starts with: element-wise functions that g++ vectorises.

The float32 functions are branch-free (range reduction, a polynomial fitted at Chebyshev nodes,
selects for the special values) and keep to about 2 ulp; NaN, infinities and denormals come out
as torch's do. float64 goes to the C library.
"""

HEADER = r"""
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <sys/mman.h>
#define KM_INLINE static inline __attribute__((always_inline))
#define KM_INF (__builtin_inff())
#define KM_NAN (__builtin_nanf(""))
#define KM_SIMD _Pragma("omp simd")
struct km_bf16 { uint16_t bits; };

KM_INLINE float km_bits(int32_t i) { float f; memcpy(&f, &i, 4); return f; }
KM_INLINE int32_t km_int(float f) { int32_t i; memcpy(&i, &f, 4); return i; }
KM_INLINE float km_load(km_bf16 x) { return km_bits((int32_t)((uint32_t)x.bits << 16)); }
KM_INLINE km_bf16 km_to_bf16(float f) {
  uint32_t u = (uint32_t)km_int(f);
  uint32_t r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return km_bf16{(uint16_t)(f != f ? 0x7fc0u : r)};
}
template <class T> KM_INLINE T km_max(T a, T b) { return ((a > b) | (a != a)) ? a : b; }
template <class T> KM_INLINE T km_min(T a, T b) { return ((a < b) | (a != a)) ? a : b; }
template <class T> KM_INLINE T km_relu(T x) { return x <= T(0) ? T(0) : x; }
template <class T> KM_INLINE T km_sign(T x) {
  return x != x ? T(0) : (x > T(0) ? T(1) : T(0)) - (x < T(0) ? T(1) : T(0));
}

// 2^n * x for x in [0.5, 2]; two factors, so that denormal results round once
KM_INLINE float km_scale(float x, int32_t n) {
  int32_t a = n >> 1, b = n - a;
  return x * km_bits((a + 127) << 23) * km_bits((b + 127) << 23);
}
KM_INLINE float km_exp(float x) {
  // what underflows (masked scores) must not cost denormal arithmetic
  const bool zero = x < -104.0f;
  float c = x > 89.0f ? 89.0f : x;
  c = zero ? 0.0f : c;
  float n = (c * 1.44269504f + 12582912.0f) - 12582912.0f;
  float r = fmaf(n, -0.693145751953125f, c);
  r = fmaf(n, -1.42860682e-6f, r);
  float p = 0.0013926926614f;
  p = fmaf(p, r, 0.00836377387441f);
  p = fmaf(p, r, 0.0416665501103f);
  p = fmaf(p, r, 0.166665733819f);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r * r, r) + 1.0f;
  float y = km_scale(p, (int32_t)(x == x ? n : 0.0f));
  y = x == x ? y : x;
  return zero ? 0.0f : y;
}
KM_INLINE float km_log(float x) {
  bool tiny = x < 1.17549435e-38f;
  float s = tiny ? x * 8388608.0f : x;
  int32_t i = km_int(s) - 0x3f3504f3;
  int32_t e = i >> 23;
  float m = km_bits(km_int(s) - (int32_t)((uint32_t)e << 23)) - 1.0f;
  float n = (float)(tiny ? e - 23 : e);
  float p = 0.0697161147145f;
  p = fmaf(p, m, -0.114797338466f);
  p = fmaf(p, m, 0.116854199235f);
  p = fmaf(p, m, -0.124256873315f);
  p = fmaf(p, m, 0.142490576457f);
  p = fmaf(p, m, -0.166678023195f);
  p = fmaf(p, m, 0.200007157489f);
  p = fmaf(p, m, -0.24999996958f);
  p = fmaf(p, m, 0.3333333118f);
  float q = m * m;
  float y = fmaf(p * m, q, fmaf(-0.5f, q, n * -2.12194440e-4f)) + m;
  y = fmaf(n, 0.693359375f, y);
  y = x == KM_INF ? x : y;
  y = x == 0.0f ? -KM_INF : y;
  return x >= 0.0f ? y : KM_NAN;
}
KM_INLINE float km_log1p(float x) {
  float u = 1.0f + x;
  float d = u - 1.0f;
  float y = km_log(u);
  float z = y + (x - d) / u;
  z = u == KM_INF ? u : z;
  z = fabsf(x) < 1e-4f ? fmaf(-0.5f * x, x, x) : z;
  return x <= -1.0f ? y : z;
}
KM_INLINE float km_expm1(float x) {
  float p = 0.000199448744416f;
  p = fmaf(p, x, 0.00139821860463f);
  p = fmaf(p, x, 0.00833323613352f);
  p = fmaf(p, x, 0.04166579123f);
  p = fmaf(p, x, 0.166666668017f);
  p = fmaf(p, x, 0.500000012161f);
  float small = fmaf(p * x, x, x);
  return fabsf(x) < 0.5f ? small : km_exp(x) - 1.0f;
}
KM_INLINE float km_sigmoid(float x) { return 1.0f / (1.0f + km_exp(-x)); }
KM_INLINE float km_tanh(float x) {
  float a = fabsf(x);
  float s = x * x;
  float p = 0.0022149027425f;
  p = fmaf(p, s, -0.00827245673259f);
  p = fmaf(p, s, 0.0217461870891f);
  p = fmaf(p, s, -0.0539563493968f);
  p = fmaf(p, s, 0.133332907458f);
  p = fmaf(p, s, -0.33333333084f);
  float small = fmaf(p * s, x, x);
  float big = 1.0f - 2.0f / (km_exp(2.0f * a) + 1.0f);
  return a < 0.65f ? small : (x < 0.0f ? -big : big);
}
KM_INLINE float km_erf(float x) {
  float a = fabsf(x);
  float s = x * x;
  float p = 7.87587506269e-5f;
  p = fmaf(p, s, -0.000801686428717f);
  p = fmaf(p, s, 0.00518908742343f);
  p = fmaf(p, s, -0.0268542120106f);
  p = fmaf(p, s, 0.112835947152f);
  p = fmaf(p, s, -0.376126266667f);
  p = fmaf(p, s, 0.128379165848f);
  float small = fmaf(p, x, x);
  float t = a > 4.0f ? 4.0f : a;
  float q = 1.63863732488e-6f;
  q = fmaf(q, t, -4.60874472898e-5f);
  q = fmaf(q, t, 0.000597052946131f);
  q = fmaf(q, t, -0.00476074771083f);
  q = fmaf(q, t, 0.0264243709273f);
  q = fmaf(q, t, -0.110085680292f);
  q = fmaf(q, t, -0.631820246782f);
  q = fmaf(q, t, -1.13023672263f);
  q = fmaf(q, t, 0.00032091438299f);
  float big = 1.0f - km_exp(q);
  float y = a < 1.0f ? small : (x < 0.0f ? -big : big);
  return x != x ? x : y;
}
KM_INLINE double km_log2_wide(double x) {
  bool tiny = x < 2.2250738585072014e-308;
  double s = tiny ? x * 18014398509481984.0 : x;
  int64_t b; memcpy(&b, &s, 8);
  int64_t e = (b - 0x3fe6a09e667f3bcdLL) >> 52;
  int64_t c = b - (int64_t)((uint64_t)e << 52);
  double m; memcpy(&m, &c, 8);
  double z = (m - 1.0) / (m + 1.0), q = z * z;
  double p = 0.282906616591;
  p = fma(p, q, 0.319905373923);
  p = fma(p, q, 0.412209256786);
  p = fma(p, q, 0.577077942359);
  p = fma(p, q, 0.961796694113);
  p = fma(p, q, 2.88539008178);
  double y = p * z + (double)(tiny ? e - 54 : e);
  y = x == __builtin_inf() ? x : y;
  y = x == 0.0 ? -__builtin_inf() : y;
  return x >= 0.0 ? y : __builtin_nan("");
}
KM_INLINE double km_exp2_wide(double x) {
  double t = x > 1000.0 ? 1000.0 : x;
  t = t < -1000.0 ? -1000.0 : t;
  double n = (t + 6755399441055744.0) - 6755399441055744.0;
  double f = t - n;
  double p = 1.53037007114e-5;
  p = fma(p, f, 0.000154697292141);
  p = fma(p, f, 0.00133334784737);
  p = fma(p, f, 0.00961802561332);
  p = fma(p, f, 0.0555041090633);
  p = fma(p, f, 0.240226512135);
  p = fma(p, f, 0.693147180557);
  p = fma(p, f, 0.99999999996);
  int64_t b = (int64_t)((x == x ? n : 0.0) + 1023.0) << 52;
  double s; memcpy(&s, &b, 8);
  return x == x ? p * s : x;
}
KM_INLINE float km_pow(float x, float y) {
  float a = fabsf(x);
  float r = (float)km_exp2_wide((double)y * km_log2_wide((double)a));
  const bool whole = floorf(y) == y, even = floorf(y * 0.5f) == y * 0.5f;
  const float sign = even ? 1.0f : -1.0f;
  const float inner = whole ? sign : KM_NAN, outer = whole ? sign : 1.0f;
  const float edge = (a == 0.0f) | (a == KM_INF) ? outer : inner;
  r *= km_int(x) < 0 ? edge : 1.0f;
  const bool unit = (x == 1.0f) | ((x == -1.0f) & (fabsf(y) == KM_INF)) | (y == 0.0f);
  return (unit ? 1.0f : 0.0f) != 0.0f ? 1.0f : r;
}
// Quarter turns in float64: exact enough up to 1e15, beyond which a float32 says nothing of
// its angle to this many digits.
KM_INLINE float km_turn(float x, double shift) {
  const double t = (double)x;
  const double n = nearbyint(t * 0.63661977236758134);
  double r = fma(-n, 1.5707963267948966, t);
  r = fma(-n, 6.123233995736766e-17, r);
  const double k = n + shift, q = k - 4.0 * floor(k * 0.25);
  const double s = r * r;
  double a = -2.4803183386562919e-8;
  a = fma(a, s, 2.7555964316089622e-6);
  a = fma(a, s, -0.0001984126682858738);
  a = fma(a, s, 0.008333333330987868);
  a = fma(a, s, -0.16666666666663744);
  a = fma(a * s, r, r);
  double b = -2.7233956414646755e-7;
  b = fma(b, s, 2.4799827643155158e-5);
  b = fma(b, s, -0.0013888884976646371);
  b = fma(b, s, 0.041666666636210129);
  b = fma(b, s, -0.49999999999962053);
  b = fma(b, s, 1.0);
  const double odd = q - 2.0 * floor(q * 0.5);
  const double y = odd != 0.0 ? b : a;
  return (float)(q >= 2.0 ? -y : y);
}
KM_INLINE float km_sin(float x) { return km_turn(x, 0.0); }
KM_INLINE float km_cos(float x) { return km_turn(x, 1.0); }
KM_INLINE float km_exp2(float x) { return (float)km_exp2_wide((double)x); }
KM_INLINE float km_log2(float x) { return (float)km_log2_wide((double)x); }
KM_INLINE float km_log10(float x) { return (float)(km_log2_wide((double)x) * 0.30102999566398120); }
#define KM_WIDE(name, call) KM_INLINE double km_##name(double x) { return call; }
KM_WIDE(exp, std::exp(x)) KM_WIDE(log, std::log(x)) KM_WIDE(log1p, std::log1p(x))
KM_WIDE(expm1, std::expm1(x)) KM_WIDE(sigmoid, 1.0 / (1.0 + std::exp(-x)))
KM_WIDE(tanh, std::tanh(x)) KM_WIDE(erf, std::erf(x)) KM_WIDE(exp2, std::exp2(x))
KM_WIDE(sin, std::sin(x)) KM_WIDE(cos, std::cos(x))
KM_WIDE(log2, std::log2(x)) KM_WIDE(log10, std::log10(x))
KM_INLINE double km_pow(double x, double y) { return std::pow(x, y); }

// Large fresh outputs live in pages that were never touched: ask for big ones.
static void km_advise(void* p, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  if (bytes < (4 << 20)) return;
  uintptr_t a = ((uintptr_t)p + 4095) & ~(uintptr_t)4095;
  uintptr_t e = ((uintptr_t)p + (uintptr_t)bytes) & ~(uintptr_t)4095;
  madvise((void*)a, e - a, MADV_HUGEPAGE);
#endif
}
// Scratch that a thread keeps between calls.
static char* km_scratch(int64_t bytes) {
  static thread_local char* block = nullptr;
  static thread_local int64_t size = 0;
  if (size < bytes) {
    free(block);
    block = (char*)aligned_alloc(64, (size_t)((bytes + 63) / 64 * 64));
    size = block ? bytes : 0;
  }
  return block;
}
// Partial results of a reduction, joined in a fixed order: whole vectors first, then halves.
template <class T> struct km_vec { typedef T type __attribute__((vector_size(64))); };
template <int S> struct km_lane { typedef int32_t type; };
template <> struct km_lane<8> { typedef int64_t type; };
#define KM_FOLD(name, expression) \
  template <int L, class T> KM_INLINE T km_fold_##name(T* a) { \
    if constexpr (sizeof(T) >= 4) { \
      typedef typename km_vec<T>::type V; \
      typedef typename km_lane<sizeof(T)>::type I; \
      constexpr int W = 64 / sizeof(T); \
      V v[L / W]; \
      memcpy(v, a, sizeof(v)); \
      for (int w = L / W / 2; w; w /= 2) \
        for (int k = 0; k < w; ++k) { const V x = v[k], y = v[k + w]; v[k] = expression; } \
      V x = v[0]; \
      for (int w = W / 2; w; w /= 2) { \
        typename km_vec<I>::type m; \
        for (int l = 0; l < W; ++l) m[l] = (I)((l + w) % W); \
        const V y = __builtin_shuffle(x, m); \
        x = expression; \
      } \
      return x[0]; \
    } else { \
      T x = a[0]; \
      for (int l = 1; l < L; ++l) { const T y = a[l]; x = expression; } \
      return x; \
    } \
  }
KM_FOLD(sum, x + y) KM_FOLD(prod, x * y)
KM_FOLD(max, ((x > y) | (x != x)) ? x : y) KM_FOLD(min, ((x < y) | (x != x)) ? x : y)
KM_FOLD(any, x | y) KM_FOLD(all, x & y)
#define KM_ARG(name, sign) \
  template <int L, class T> KM_INLINE int64_t km_##name(const T* a, const int32_t* p) { \
    int b = 0; \
    for (int l = 1; l < L; ++l) { \
      const bool nan = a[l] != a[l], best_nan = a[b] != a[b]; \
      const bool same = (nan & best_nan) | (a[l] == a[b]); \
      const bool better = nan != best_nan ? nan : (a[l] sign a[b]); \
      if (better | (same & (p[l] < p[b]))) b = l; \
    } \
    return p[b] == 0x7fffffff ? 0 : p[b]; \
  }
KM_ARG(argmax, >) KM_ARG(argmin, <)
// Running sum or product in place. Sixteen at a time; the carry is kept in float64.
typedef float km_v16 __attribute__((vector_size(64)));
typedef int32_t km_i16 __attribute__((vector_size(64)));
#define KM_STEP(k, op) { \
    km_i16 m; for (int l = 0; l < 16; ++l) m[l] = l < k ? 0 : 16 + l - k; \
    v = v op __builtin_shuffle(unit, v, m); }
#define KM_PREFIX(name, op, one) \
  KM_INLINE void km_prefix_##name(float* a, int64_t n, double& carry) { \
    km_v16 unit; for (int l = 0; l < 16; ++l) unit[l] = one; \
    int64_t j = 0; \
    for (; j + 16 <= n; j += 16) { \
      km_v16 v; memcpy(&v, a + j, 64); \
      KM_STEP(1, op) KM_STEP(2, op) KM_STEP(4, op) KM_STEP(8, op) \
      const double last = carry op (double)v[15]; \
      v = v op (float)carry; \
      memcpy(a + j, &v, 64); \
      carry = last; \
    } \
    for (; j < n; ++j) { carry = carry op (double)a[j]; a[j] = (float)carry; } \
  } \
  template <class T, class C> KM_INLINE void km_prefix_##name(T* a, int64_t n, C& carry) { \
    for (int64_t j = 0; j < n; ++j) { carry = (C)(carry op (C)a[j]); a[j] = (T)carry; } \
  }
KM_PREFIX(sum, +, 0.0f) KM_PREFIX(prod, *, 1.0f)
"""
