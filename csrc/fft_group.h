// Complex vectors, butterflies, and the last 4 W elements of a transform in registers; see fft.h.
#pragma once

#include "simd.h"

namespace {

struct cv {
    vf re, im;
};

KM_INLINE cv load_c(const float* p) { return {load(p), load(p + W)}; }
KM_INLINE void store_c(float* p, cv a) {
    store(p, a.re);
    store(p + W, a.im);
}
KM_INLINE cv operator+(cv a, cv b) { return {a.re + b.re, a.im + b.im}; }
KM_INLINE cv operator-(cv a, cv b) { return {a.re - b.re, a.im - b.im}; }
KM_INLINE cv mul(cv a, cv b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
KM_INLINE cv mul_conj(cv a, cv b) {  // a conj(b)
    return {a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im};
}
KM_INLINE cv plus_i(cv a, cv b) { return {a.re - b.im, a.im + b.re}; }   // a + i b
KM_INLINE cv minus_i(cv a, cv b) { return {a.re + b.im, a.im - b.re}; }  // a - i b

struct Powers {  // r, r^2, r^3
    cv one, two, three;
};

KM_INLINE Powers scalars(const float* t) {
    return {{splat(t[0]), splat(t[1])}, {splat(t[2]), splat(t[3])}, {splat(t[4]), splat(t[5])}};
}

KM_INLINE void split4(cv& a, cv& b, cv& c, cv& d, const Powers& r) {
    b = mul(b, r.one), c = mul(c, r.two), d = mul(d, r.three);
    cv s = a + c, t = a - c, e = b + d, f = b - d;
    a = s + e, b = plus_i(t, f), c = s - e, d = minus_i(t, f);
}

KM_INLINE void join4(cv& a, cv& b, cv& c, cv& d, const Powers& r) {
    cv s = a + c, t = a - c, e = b + d, f = b - d;
    a = s + e;
    b = mul_conj(minus_i(t, f), r.one), c = mul_conj(s - e, r.two);
    d = mul_conj(plus_i(t, f), r.three);
}

KM_INLINE void split2(cv& a, cv& b, cv r) {
    b = mul(b, r);
    cv t = a - b;
    a = a + b, b = t;
}

KM_INLINE void join2(cv& a, cv& b, cv r) {
    cv t = mul_conj(a - b, r);
    a = a + b, b = t;
}

// ---- the last 4 W elements, in registers ---------------------------------------------------

constexpr int GROUP = 4 * W;       // elements of a bottom node: W / 4 leaves of 16
constexpr int LEAVES = W / 4;
constexpr int HEAD = W == 16 ? 6 : W == 8 ? 2 : 0;  // factors of the split into leaves
constexpr int GROUP_FACTORS = HEAD + 12 * LEAVES;

// Four vectors of four-element groups: transposes within each group.
KM_INLINE void transpose_in_groups(vf& a, vf& b, vf& c, vf& d) {
#if defined(KM_ISA_avx512)
    __m512 p = _mm512_unpacklo_ps((__m512)a, (__m512)b), q = _mm512_unpackhi_ps((__m512)a, (__m512)b);
    __m512 r = _mm512_unpacklo_ps((__m512)c, (__m512)d), s = _mm512_unpackhi_ps((__m512)c, (__m512)d);
    a = (vf)_mm512_unpacklo_pd((__m512d)p, (__m512d)r), b = (vf)_mm512_unpackhi_pd((__m512d)p, (__m512d)r);
    c = (vf)_mm512_unpacklo_pd((__m512d)q, (__m512d)s), d = (vf)_mm512_unpackhi_pd((__m512d)q, (__m512d)s);
#elif defined(KM_ISA_avx2)
    __m256 p = _mm256_unpacklo_ps((__m256)a, (__m256)b), q = _mm256_unpackhi_ps((__m256)a, (__m256)b);
    __m256 r = _mm256_unpacklo_ps((__m256)c, (__m256)d), s = _mm256_unpackhi_ps((__m256)c, (__m256)d);
    a = (vf)_mm256_unpacklo_pd((__m256d)p, (__m256d)r), b = (vf)_mm256_unpackhi_pd((__m256d)p, (__m256d)r);
    c = (vf)_mm256_unpacklo_pd((__m256d)q, (__m256d)s), d = (vf)_mm256_unpackhi_pd((__m256d)q, (__m256d)s);
#else
    vf p{a[0], b[0], c[0], d[0]}, q{a[1], b[1], c[1], d[1]};
    vf r{a[2], b[2], c[2], d[2]}, s{a[3], b[3], c[3], d[3]};
    a = p, b = q, c = r, d = s;
#endif
}

// From contiguous vectors to one vector per group of each leaf (leaf l in the l-th lane group).
KM_INLINE void gather_groups(vf& a, vf& b, vf& c, vf& d) {
#if defined(KM_ISA_avx512)
    __m512 p = _mm512_shuffle_f32x4((__m512)a, (__m512)b, 0x44);
    __m512 q = _mm512_shuffle_f32x4((__m512)c, (__m512)d, 0x44);
    __m512 r = _mm512_shuffle_f32x4((__m512)a, (__m512)b, 0xee);
    __m512 s = _mm512_shuffle_f32x4((__m512)c, (__m512)d, 0xee);
    a = (vf)_mm512_shuffle_f32x4(p, q, 0x88), b = (vf)_mm512_shuffle_f32x4(p, q, 0xdd);
    c = (vf)_mm512_shuffle_f32x4(r, s, 0x88), d = (vf)_mm512_shuffle_f32x4(r, s, 0xdd);
#elif defined(KM_ISA_avx2)
    __m256 p = _mm256_permute2f128_ps((__m256)a, (__m256)c, 0x20);
    __m256 q = _mm256_permute2f128_ps((__m256)a, (__m256)c, 0x31);
    __m256 r = _mm256_permute2f128_ps((__m256)b, (__m256)d, 0x20);
    __m256 s = _mm256_permute2f128_ps((__m256)b, (__m256)d, 0x31);
    a = (vf)p, b = (vf)q, c = (vf)r, d = (vf)s;
#endif
}

KM_INLINE void scatter_groups(vf& a, vf& b, vf& c, vf& d) {
#if defined(KM_ISA_avx2)
    __m256 p = _mm256_permute2f128_ps((__m256)a, (__m256)b, 0x20);
    __m256 q = _mm256_permute2f128_ps((__m256)a, (__m256)b, 0x31);
    __m256 r = _mm256_permute2f128_ps((__m256)c, (__m256)d, 0x20);
    __m256 s = _mm256_permute2f128_ps((__m256)c, (__m256)d, 0x31);
    a = (vf)p, b = (vf)r, c = (vf)q, d = (vf)s;
#else
    gather_groups(a, b, c, d);
#endif
}

// One number per leaf, in all lanes of its group.
KM_INLINE vf per_leaf(const float* p) {
#if defined(KM_ISA_avx512)
    const __m512i index = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return (vf)_mm512_permutexvar_ps(index, _mm512_castps128_ps512(_mm_loadu_ps(p)));
#elif defined(KM_ISA_avx2)
    return (vf)_mm256_setr_m128(_mm_set1_ps(p[0]), _mm_set1_ps(p[1]));
#else
    return splat(p[0]);
#endif
}

KM_INLINE Powers leaf_powers(const float* t) {
    return {{per_leaf(t), per_leaf(t + LEAVES)},
            {per_leaf(t + 2 * LEAVES), per_leaf(t + 3 * LEAVES)},
            {per_leaf(t + 4 * LEAVES), per_leaf(t + 5 * LEAVES)}};
}

// exp(i pi n g / 8) for g = 0..3, n = 1..3: the fourth roots of a leaf's four remainders differ
// by these, wherever the leaf is.
alignas(64) const float QUARTERS[6][4] = {
    {1, 0.92387953251128675613f, 0.70710678118654752440f, 0.38268343236508977173f},
    {0, 0.38268343236508977173f, 0.70710678118654752440f, 0.92387953251128675613f},
    {1, 0.70710678118654752440f, 0, -0.70710678118654752440f},
    {0, 0.70710678118654752440f, 1, 0.70710678118654752440f},
    {1, 0.38268343236508977173f, -0.70710678118654752440f, -0.92387953251128675613f},
    {0, 0.92387953251128675613f, 0.70710678118654752440f, -0.38268343236508977173f},
};

KM_INLINE vf quarters(int row) {
    vf v;
    const float* q = QUARTERS[row];
#if defined(KM_ISA_avx512)
    v = (vf)_mm512_broadcast_f32x4(_mm_load_ps(q));
#elif defined(KM_ISA_avx2)
    v = (vf)_mm256_broadcast_ps((const __m128*)q);
#else
    v = load(q);
#endif
    return v;
}

KM_INLINE Powers element_powers(const float* t) {
    Powers q = leaf_powers(t);
    return {mul(q.one, {quarters(0), quarters(1)}), mul(q.two, {quarters(2), quarters(3)}),
            mul(q.three, {quarters(4), quarters(5)})};
}

struct Group {
    cv a, b, c, d;
};

KM_INLINE Group group_down(const float* x, const float* t) {
    Group g{load_c(x), load_c(x + 2 * W), load_c(x + 4 * W), load_c(x + 6 * W)};
    if constexpr (W == 16) split4(g.a, g.b, g.c, g.d, scalars(t));
    if constexpr (W == 8) {
        cv r{splat(t[0]), splat(t[1])};
        split2(g.a, g.c, r);
        split2(g.b, g.d, r);
    }
    gather_groups(g.a.re, g.b.re, g.c.re, g.d.re);
    gather_groups(g.a.im, g.b.im, g.c.im, g.d.im);
    split4(g.a, g.b, g.c, g.d, leaf_powers(t + HEAD));
    transpose_in_groups(g.a.re, g.b.re, g.c.re, g.d.re);
    transpose_in_groups(g.a.im, g.b.im, g.c.im, g.d.im);
    split4(g.a, g.b, g.c, g.d, element_powers(t + HEAD + 6 * LEAVES));
    return g;
}

KM_INLINE void store_group(float* x, const Group& g) {
    store_c(x, g.a), store_c(x + 2 * W, g.b), store_c(x + 4 * W, g.c), store_c(x + 6 * W, g.d);
}

KM_INLINE void group_up(Group g, float* x, const float* t) {
    join4(g.a, g.b, g.c, g.d, element_powers(t + HEAD + 6 * LEAVES));
    transpose_in_groups(g.a.re, g.b.re, g.c.re, g.d.re);
    transpose_in_groups(g.a.im, g.b.im, g.c.im, g.d.im);
    join4(g.a, g.b, g.c, g.d, leaf_powers(t + HEAD));
    scatter_groups(g.a.re, g.b.re, g.c.re, g.d.re);
    scatter_groups(g.a.im, g.b.im, g.c.im, g.d.im);
    if constexpr (W == 16) join4(g.a, g.b, g.c, g.d, scalars(t));
    if constexpr (W == 8) {
        cv r{splat(t[0]), splat(t[1])};
        join2(g.a, g.c, r);
        join2(g.b, g.d, r);
    }
    store_group(x, g);
}

}  // namespace
