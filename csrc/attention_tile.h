// Products of a tile of TQ queries, one query per lane, with rows of keys or values.
//
// A tile holds quantities of its queries transposed, x[d][lane]; rows are pointers to contiguous
// keys, values or packed queries. R is float or double.
#pragma once

#include "simd.h"

namespace {

typedef double vd __attribute__((vector_size(4 * W), may_alias));
typedef int64_t vl __attribute__((vector_size(4 * W), may_alias));

template <class R>
struct Lanes;
template <>
struct Lanes<float> {
    typedef vf V;
    typedef vi M;
    typedef int32_t I;
    static constexpr int n = W;
};
template <>
struct Lanes<double> {
    typedef vd V;
    typedef vl M;
    typedef int64_t I;
    static constexpr int n = W / 2;
};
template <class R>
using Vec = typename Lanes<R>::V;

template <class R>
constexpr int VN = Lanes<R>::n;
template <class R>
constexpr int TQ = 2 * VN<R>;  // queries of a tile: two vectors

#if defined(KM_ISA_avx512)
constexpr int ROWS = 8, PACK = 4;  // rows at a time; vectors of a row at a time
#else
constexpr int ROWS = 4, PACK = 2;
#endif

template <class R>
KM_INLINE Vec<R> vload(const R* p) {
    Vec<R> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class R>
KM_INLINE void vstore(R* p, Vec<R> v) {
    std::memcpy(p, &v, sizeof v);
}
template <class R>
KM_INLINE Vec<R> vsplat(R a) {
    return Vec<R>{} + a;
}
KM_INLINE vf vexp2(vf u) { return exp2_(u); }
KM_INLINE vd vexp2(vd u) {
    vd r;
    for (int i = 0; i < VN<double>; ++i) r[i] = std::exp2(u[i]);
    return r;
}

// v in the lanes whose bit is set, `fill` in the others.
template <class R>
KM_INLINE Vec<R> where_bits(uint32_t bits, Vec<R> v, R fill) {
#if defined(KM_ISA_avx512)
    if constexpr (sizeof(R) == 4)
        return (Vec<R>)_mm512_mask_blend_ps((__mmask16)bits, _mm512_set1_ps(fill), (__m512)v);
    else
        return (Vec<R>)_mm512_mask_blend_pd((__mmask8)bits, _mm512_set1_pd(fill), (__m512d)v);
#else
    typename Lanes<R>::M bit, all;
    for (int i = 0; i < VN<R>; ++i) {
        bit[i] = (typename Lanes<R>::I)1 << i;
        all[i] = bits;
    }
    return (all & bit) != 0 ? v : vsplat<R>(fill);
#endif
}

// s[j][lane] = sum_d rows[j][d] t[d][lane]
template <class R, int J>
KM_INLINE void dots_block(const R* const* rows, const R* t, int64_t width, R* s) {
    constexpr int N = VN<R>;
    const R* row[J];
    Vec<R> sum[J][2];
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) {
        row[j] = rows[j];
        sum[j][0] = sum[j][1] = Vec<R>{};
    }
    for (int64_t d = 0; d < width; ++d) {
        Vec<R> a = vload(t + d * 2 * N), b = vload(t + d * 2 * N + N);
#pragma GCC unroll 8
        for (int j = 0; j < J; ++j) {
            Vec<R> k = vsplat<R>(row[j][d]);
            sum[j][0] += k * a;
            sum[j][1] += k * b;
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) {
        vstore(s + j * 2 * N, sum[j][0]);
        vstore(s + j * 2 * N + N, sum[j][1]);
    }
}

template <class R>
void dots(const R* const* rows, int count, const R* t, int64_t width, R* s) {
    int j = 0;
    for (; j + ROWS <= count; j += ROWS)
        dots_block<R, ROWS>(rows + j, t, width, s + (int64_t)j * TQ<R>);
    for (; j + 2 <= count; j += 2) dots_block<R, 2>(rows + j, t, width, s + (int64_t)j * TQ<R>);
    if (j < count) dots_block<R, 1>(rows + j, t, width, s + (int64_t)j * TQ<R>);
}

// t[d][lane] += sum_j rows[j][d] p[j][lane], for B values of d
template <class R, int B>
KM_INLINE void combine_block(const R* const* rows, int count, const R* p, R* t, int64_t d) {
    constexpr int N = VN<R>;
    Vec<R> sum[B][2];
    R* out = t + d * 2 * N;
#pragma GCC unroll 8
    for (int i = 0; i < B; ++i) {
        sum[i][0] = vload(out + i * 2 * N);
        sum[i][1] = vload(out + i * 2 * N + N);
    }
    for (int j = 0; j < count; ++j) {
        Vec<R> a = vload(p + (int64_t)j * 2 * N), b = vload(p + (int64_t)j * 2 * N + N);
        const R* row = rows[j] + d;
#pragma GCC unroll 8
        for (int i = 0; i < B; ++i) {
            Vec<R> v = vsplat<R>(row[i]);
            sum[i][0] += v * a;
            sum[i][1] += v * b;
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < B; ++i) {
        vstore(out + i * 2 * N, sum[i][0]);
        vstore(out + i * 2 * N + N, sum[i][1]);
    }
}

template <class R>
void combine(const R* const* rows, int count, const R* p, int64_t width, R* t) {
    int64_t d = 0;
    for (; d + ROWS <= width; d += ROWS) combine_block<R, ROWS>(rows, count, p, t, d);
    for (; d + 2 <= width; d += 2) combine_block<R, 2>(rows, count, p, t, d);
    if (d < width) combine_block<R, 1>(rows, count, p, t, d);
}

// out[j][d..] += sum_lane p[j][lane] x[lane][d..], J rows, P vectors; `left` valid values from d on
template <class R, int J, int P>
KM_INLINE void scatter_block(
    R* const* out, const R* p, const R* x, int64_t pitch, int64_t d, int64_t left) {
    constexpr int N = VN<R>;
    Vec<R> sum[J][P];
#pragma GCC unroll 4
    for (int j = 0; j < J; ++j)
#pragma GCC unroll 4
        for (int v = 0; v < P; ++v) sum[j][v] = Vec<R>{};
    for (int lane = 0; lane < 2 * N; ++lane) {
        Vec<R> row[P];
#pragma GCC unroll 4
        for (int v = 0; v < P; ++v) row[v] = vload(x + lane * pitch + d + v * N);
#pragma GCC unroll 4
        for (int j = 0; j < J; ++j) {
            Vec<R> w = vsplat<R>(p[j * 2 * N + lane]);
#pragma GCC unroll 4
            for (int v = 0; v < P; ++v) sum[j][v] += w * row[v];
        }
    }
#pragma GCC unroll 4
    for (int j = 0; j < J; ++j)
#pragma GCC unroll 4
        for (int v = 0; v < P; ++v) {
            R* at = out[j] + d + v * N;
            if (left >= (v + 1) * N) {
                vstore(at, vload(at) + sum[j][v]);
            } else {
                for (int64_t i = 0; i < left - v * N; ++i) at[i] += sum[j][v][i];
            }
        }
}

template <class R, int J>
KM_INLINE void scatter_rows(R* const* out, const R* p, const R* x, int64_t width, int64_t pitch) {
    constexpr int N = VN<R>;
    int64_t d = 0;
    for (; d + (PACK - 1) * N < width; d += PACK * N)
        scatter_block<R, J, PACK>(out, p, x, pitch, d, width - d);
    for (; d < width; d += N) scatter_block<R, J, 1>(out, p, x, pitch, d, width - d);
}

// x: (TQ, pitch), zero beyond width.
template <class R>
void scatter(
    R* const* out, int count, const R* p, const R* x, int64_t width, int64_t pitch) {
    int j = 0;
    for (; j + 4 <= count; j += 4) scatter_rows<R, 4>(out + j, p + (int64_t)j * TQ<R>, x, width, pitch);
    for (; j < count; ++j) scatter_rows<R, 1>(out + j, p + (int64_t)j * TQ<R>, x, width, pitch);
}

// One step of a transposition in registers: swaps the blocks of S off the diagonal.
template <class R, int S>
KM_INLINE void swap_blocks(Vec<R>* rows) {
    constexpr int N = VN<R>;
    typename Lanes<R>::M low, high;
    for (int l = 0; l < N; ++l) {
        low[l] = l & S ? N + l - S : l;
        high[l] = l & S ? N + l : l + S;
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
        if (i & S) continue;
        Vec<R> a = rows[i], b = rows[i + S];
        rows[i] = __builtin_shuffle(a, b, low);
        rows[i + S] = __builtin_shuffle(a, b, high);
    }
}

template <class R>
KM_INLINE void transpose(Vec<R>* rows) {
    constexpr int N = VN<R>;
    if constexpr (N >= 16) swap_blocks<R, 8>(rows);
    if constexpr (N >= 8) swap_blocks<R, 4>(rows);
    if constexpr (N >= 4) swap_blocks<R, 2>(rows);
    if constexpr (N >= 2) swap_blocks<R, 1>(rows);
}

KM_INLINE float widen(float a) { return a; }
KM_INLINE double widen(double a) { return a; }
KM_INLINE float widen(f16 a) { return half_to_float(a.bits); }
KM_INLINE float widen(bf16 a) {
    uint32_t bits = (uint32_t)a.bits << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// N values from p, of which `left` exist.
template <class R, class T>
KM_INLINE Vec<R> load_some(const T* p, int64_t left) {
    constexpr int N = VN<R>;
    if constexpr (sizeof(T) == sizeof(R)) {
        if (left >= N) return vload((const R*)p);
    } else {
        if (left >= N) return load(p);
    }
    Vec<R> v = {};
    for (int64_t i = 0; i < left && i < N; ++i) v[i] = widen(p[i]);
    return v;
}
template <class R, class T>
KM_INLINE void store_some(T* p, Vec<R> v, int64_t left) {
    constexpr int N = VN<R>;
    if constexpr (sizeof(R) == 8) {
        for (int64_t i = 0; i < left && i < N; ++i) p[i] = v[i];
    } else {
        store_n(p, v, (int)(left < N ? left : N));
    }
}

// t[d][lane] = rows[lane][d] * scale; no row (null): zeros.
template <class R, class T>
void gather_tile(const T* const* rows, int64_t width, R scale, R* t) {
    constexpr int N = VN<R>;
    for (int half = 0; half < 2; ++half)
        for (int64_t d = 0; d < width; d += N) {
            Vec<R> block[N];
#pragma GCC unroll 16
            for (int i = 0; i < N; ++i) {
                const T* row = rows[half * N + i];
                block[i] = row ? load_some<R>(row + d, width - d) * scale : Vec<R>{};
            }
            transpose<R>(block);
            for (int i = 0; i < N && d + i < width; ++i)
                vstore(t + (d + i) * 2 * N + half * N, block[i]);
        }
}

// rows[lane][d] = t[d][lane] * factor[lane]
template <class R, class T>
void spread_tile(T* const* rows, int64_t width, const R* factor, const R* t) {
    constexpr int N = VN<R>;
    for (int half = 0; half < 2; ++half) {
        Vec<R> by = vload(factor + half * N);
        for (int64_t d = 0; d < width; d += N) {
            Vec<R> block[N];
#pragma GCC unroll 16
            for (int i = 0; i < N; ++i)
                block[i] = d + i < width ? vload(t + (d + i) * 2 * N + half * N) * by : Vec<R>{};
            transpose<R>(block);
            for (int i = 0; i < N; ++i)
                if (rows[half * N + i]) store_some<R>(rows[half * N + i] + d, block[i], width - d);
        }
    }
}

// x[lane][..pitch] = rows[lane] * scale, zeros beyond width and where there is no row.
template <class R, class T>
void pack_rows(const T* const* rows, int64_t width, int64_t pitch, R scale, R* x) {
    constexpr int N = VN<R>;
    for (int lane = 0; lane < 2 * N; ++lane)
        for (int64_t d = 0; d < pitch; d += N)
            vstore(x + lane * pitch + d,
                   rows[lane] ? load_some<R>(rows[lane] + d, width - d) * scale : Vec<R>{});
}

}  // namespace
