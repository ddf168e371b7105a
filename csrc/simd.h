// One vector type per instruction set, with exp2 and log2. Included by every csrc/*.cpp.
//
// Each .cpp is compiled once per instruction set with KM_ISA defined; `KM_EXPORT(name)` gives the
// exported function the set's suffix (kernelmill_gem_forward_avx512), and Python picks one when
// the library is loaded. Everything else must have internal linkage (the anonymous namespace) and
// no C++ containers may be used: the linker would merge weak copies of different sets.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define KM_CAT_(a, b) a##_##b
#define KM_CAT(a, b) KM_CAT_(a, b)
#define KM_EXPORT(name) \
    extern "C" __attribute__((visibility("default"))) int KM_CAT(kernelmill_##name, KM_ISA)
#define KM_INLINE inline __attribute__((always_inline))

namespace {

#if defined(KM_ISA_avx512)
constexpr int W = 16;
#elif defined(KM_ISA_avx2)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float vf __attribute__((vector_size(4 * W), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * W), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * W), may_alias));
typedef uint16_t vh __attribute__((vector_size(2 * W), may_alias));

struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

KM_INLINE vf splat(float a) { return vf{} + a; }
KM_INLINE vi as_int(vf a) { return (vi)a; }
KM_INLINE vf as_float(vi a) { return (vf)a; }
KM_INLINE vf select(vi mask, vf yes, vf no) { return mask ? yes : no; }
// The second argument wins where the first is NaN's neighbour: max_(x, m) keeps m when x is NaN.
KM_INLINE vf max_(vf x, vf m) { return x > m ? x : m; }
KM_INLINE vf min_(vf x, vf m) { return x < m ? x : m; }
KM_INLINE vf abs_(vf a) { return as_float(as_int(a) & 0x7fffffff); }
KM_INLINE vf copysign_(vf magnitude, vf sign) {
    return as_float(as_int(magnitude) | (as_int(sign) & (int32_t)0x80000000));
}
// All ones in the first n lanes.
KM_INLINE vi lanes(int n) {
    vi index;
    for (int i = 0; i < W; ++i) index[i] = i;
    return index < n;
}

KM_INLINE float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    float scaled;
    uint32_t bits = rest << 13;
    std::memcpy(&scaled, &bits, 4);
    scaled *= 0x1p112f;  // also right for denormals
    std::memcpy(&bits, &scaled, 4);
    if (rest >= 0x7c00) bits |= 0x7f800000;
    bits |= sign;
    std::memcpy(&scaled, &bits, 4);
    return scaled;
}

KM_INLINE uint16_t float_to_half(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    uint16_t sign = (bits >> 16) & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00;
    if (bits >= 0x477ff000) return sign | 0x7c00;
    if (bits < 0x38800000) {  // denormal half: let the adder round at the right bit
        float magnitude;
        std::memcpy(&magnitude, &bits, 4);
        magnitude += 0.5f;
        std::memcpy(&bits, &magnitude, 4);
        return sign | (uint16_t)(bits - 0x3f000000);
    }
    bits += 0xc8000fff + ((bits >> 13) & 1);
    return sign | (uint16_t)(bits >> 13);
}

KM_INLINE vf load(const float* p) {
    vf v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
KM_INLINE vf load(const bf16* p) {
    vh h;
    std::memcpy(&h, p, sizeof h);
    return (vf)(__builtin_convertvector(h, vu) << 16);
}
KM_INLINE vf load(const f16* p) {
#if defined(KM_ISA_avx512)
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#elif defined(KM_ISA_avx2)
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
    vf v;
    for (int i = 0; i < W; ++i) v[i] = half_to_float(p[i].bits);
    return v;
#endif
}

KM_INLINE void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }
KM_INLINE void store(bf16* p, vf v) {
    vu bits = (vu)v;
    vu rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    rounded = (v != v) ? (vu{} + 0x7fc0) : rounded;
    vh h = __builtin_convertvector(rounded, vh);
    std::memcpy(p, &h, sizeof h);
}
KM_INLINE void store(f16* p, vf v) {
#if defined(KM_ISA_avx512)
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#elif defined(KM_ISA_avx2)
    _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#else
    for (int i = 0; i < W; ++i) p[i].bits = float_to_half(v[i]);
#endif
}

// The first n lanes (0 < n <= W); the others are `fill`.
template <class T>
KM_INLINE vf load_n(const T* p, int n, float fill) {
    if (n == W) return load(p);
#if defined(KM_ISA_avx512)
    if constexpr (sizeof(T) == 4)
        return (vf)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << n) - 1), p);
#endif
    T buffer[W] = {};
    std::memcpy(buffer, p, n * sizeof(T));
    return select(lanes(n), load(buffer), splat(fill));
}

template <class T>
KM_INLINE void store_n(T* p, vf v, int n) {
    if (n == W) return store(p, v);
#if defined(KM_ISA_avx512)
    if constexpr (sizeof(T) == 4) {
        _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
        return;
    }
#endif
    T buffer[W];
    store(buffer, v);
    std::memcpy(p, buffer, n * sizeof(T));
}

// Past the caches: for output that is larger than they are. Falls back where p is not aligned.
KM_INLINE void stream(float* p, vf v) {
#if defined(KM_ISA_avx512)
    if (((uintptr_t)p & 63) == 0) return _mm512_stream_ps(p, (__m512)v);
#elif defined(KM_ISA_avx2)
    if (((uintptr_t)p & 31) == 0) return _mm256_stream_ps(p, (__m256)v);
#endif
    store(p, v);
}

// Asks for huge pages under a large buffer that was just allocated and is about to be filled:
// first-touch faults of 4 KB pages cost more than the kernel that writes them.
inline void huge_pages(void* p, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes < (4 << 20)) return;
    uintptr_t first = ((uintptr_t)p + 4095) & ~(uintptr_t)4095;
    uintptr_t last = ((uintptr_t)p + bytes) & ~(uintptr_t)4095;
    madvise((void*)first, last - first, MADV_HUGEPAGE);  // advice: a refusal does no harm
#endif
}

KM_INLINE float sum(vf v) {
#if defined(KM_ISA_avx512)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float s = 0;
    for (int i = 0; i < W; ++i) s += v[i];
    return s;
#endif
}
KM_INLINE float max_of(vf v) {
#if defined(KM_ISA_avx512)
    return _mm512_reduce_max_ps((__m512)v);
#else
    float m = v[0];
    for (int i = 1; i < W; ++i) m = v[i] > m ? v[i] : m;
    return m;
#endif
}
KM_INLINE float min_of(vf v) { return -max_of(-v); }

// log2 x for normal x > 0; relative error below 2^-22, also near x = 1. No care for inf and NaN.
KM_INLINE vf log2_(vf x) {
    vi bits = as_int(x);
    vi e = (bits - 0x3f3504f3) >> 23;         // mantissa into [sqrt(1/2), sqrt(2))
    vf z = as_float(bits - (e << 23)) - 1.0f;
    vf q = splat(0.1258353739976883f);
    q = q * z + -0.20726893842220306f;
    q = q * z + 0.21571584045886993f;
    q = q * z + -0.23894494771957397f;
    q = q * z + 0.28791624307632446f;
    q = q * z + -0.3607036769390106f;
    q = q * z + 0.48091062903404236f;
    q = q * z + -0.7213473320007324f;
    q = q * z + 1.4426950216293335f;
    return z * q + __builtin_convertvector(e, vf);
}

// 2^u; 0 below -127, inf from 128; relative error below 2^-23.
KM_INLINE vf exp2_(vf u) {
    u = u < -127.0f ? splat(-127.0f) : u;
    u = u > 128.0f ? splat(128.0f) : u;
    vf n = (u + 12582912.0f) - 12582912.0f;  // round to nearest
    vf f = u - n;
    vf q = splat(0.0001534580806037411f);
    q = q * f + 0.0013399930903688073f;
    q = q * f + 0.009618489071726799f;
    q = q * f + 0.05550328642129898f;
    q = q * f + 0.24022646248340607f;
    q = q * f + 0.6931471824645996f;
    q = q * f + 1.0f;
    vi scale = (__builtin_convertvector(n, vi) + 127) << 23;
    return q * as_float(scale);
}

}  // namespace
