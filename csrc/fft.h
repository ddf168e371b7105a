// Fast convolution modulo X^M - i for long_conv.cpp: no reordering, no separate twist.
//
// A node of size n stands for a polynomial modulo X^n - rho. Radix 4 splits it into its remainders
// modulo X^(n/4) - r i^j, j = 0..3, with r^4 = rho: element n of four is multiplied by r^n, one
// number for the whole node, before a butterfly without further factors. Down to size one these
// are the values at the M roots of X^M = i, in whatever order: products of values do not care,
// and the way up is the way down backwards.
//
// The product of two real polynomials of degree below M has degree below 2M; modulo X^M - i its
// coefficients from M on are the imaginary parts. Hence a linear convolution of length L takes
// complex transforms of size L, without any step that separates packed spectra.
//
// Layout: W real parts, then their W imaginary parts, and so on; element e is at 2 e.
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

// What happens to the values at the roots. `x` is where the group lies, `at` its offset.
struct Transform {  // values stay, multiplied by `scale`
    static constexpr bool down = true, up = false;
    float scale;
    KM_INLINE void operator()(float* x, int64_t, const float* t) const {
        Group g = group_down(x, t);
        vf s = splat(scale);
        auto by = [&](cv v) { return cv{v.re * s, v.im * s}; };
        g = {by(g.a), by(g.b), by(g.c), by(g.d)};
        store_group(x, g);
    }
};

struct Back {
    static constexpr bool down = false, up = true;
    KM_INLINE void operator()(float* x, int64_t, const float* t) const {
        group_up({load_c(x), load_c(x + 2 * W), load_c(x + 4 * W), load_c(x + 6 * W)}, x, t);
    }
};

struct Convolve {  // with the kernel whose values are w
    static constexpr bool down = true, up = true;
    const float* w;
    KM_INLINE void operator()(float* x, int64_t at, const float* t) const {
        Group g = group_down(x, t);
        const float* k = w + at;
        g.a = mul(g.a, load_c(k)), g.b = mul(g.b, load_c(k + 2 * W));
        g.c = mul(g.c, load_c(k + 4 * W)), g.d = mul(g.d, load_c(k + 6 * W));
        group_up(g, x, t);
    }
};

struct Product {  // of the values z and w, taken back
    static constexpr bool down = false, up = true;
    const float *z, *w;
    KM_INLINE void operator()(float* x, int64_t at, const float* t) const {
        auto part = [&](int64_t i) { return mul(load_c(z + at + i), load_c(w + at + i)); };
        group_up({part(0), part(2 * W), part(4 * W), part(6 * W)}, x, t);
    }
};

// x: the gradient of the result. Correlates it with the kernel (values w) in place, and adds its
// correlation with the input (values z) to `sum`.
template <bool INPUT, bool KERNEL>
struct Correlate {
    static constexpr bool down = true, up = INPUT;
    const float *w, *z;
    float* sum;
    KM_INLINE void operator()(float* x, int64_t at, const float* t) const {
        Group g = group_down(x, t);
        if constexpr (KERNEL) {
            auto add = [&](cv v, int64_t i) {
                store_c(sum + i, load_c(sum + i) + mul_conj(v, load_c(z + i)));
            };
            add(g.a, at), add(g.b, at + 2 * W), add(g.c, at + 4 * W), add(g.d, at + 6 * W);
        }
        if constexpr (INPUT) {
            const float* k = w + at;
            g.a = mul_conj(g.a, load_c(k)), g.b = mul_conj(g.b, load_c(k + 2 * W));
            g.c = mul_conj(g.c, load_c(k + 4 * W)), g.d = mul_conj(g.d, load_c(k + 6 * W));
            group_up(g, x, t);
        }
    }
};

// ---- the tree above it ------------------------------------------------------------------------

KM_INLINE bool is_radix2(int64_t n) {  // n / GROUP is an odd power of two
    return __builtin_ctzll((uint64_t)(n / GROUP)) & 1;
}

template <bool UP>
KM_INLINE void pass4(float* x, int64_t quarter, const float* t) {
    Powers r = scalars(t);
    float *p = x, *q = x + 2 * quarter, *u = x + 4 * quarter, *v = x + 6 * quarter;
    for (int64_t i = 0; i < 2 * quarter; i += 2 * W) {
        cv a = load_c(p + i), b = load_c(q + i), c = load_c(u + i), d = load_c(v + i);
        if constexpr (UP) join4(a, b, c, d, r);
        else split4(a, b, c, d, r);
        store_c(p + i, a), store_c(q + i, b), store_c(u + i, c), store_c(v + i, d);
    }
}

template <bool UP>
KM_INLINE void pass2(float* x, int64_t half, const float* t) {
    cv r{splat(t[0]), splat(t[1])};
    for (int64_t i = 0; i < 2 * half; i += 2 * W) {
        cv a = load_c(x + i), b = load_c(x + 2 * half + i);
        if constexpr (UP) join2(a, b, r);
        else split2(a, b, r);
        store_c(x + i, a), store_c(x + 2 * half + i, b);
    }
}

// The node of n elements at offset `at`; its factors and those of all below it are at t, in this
// order. Returns what is behind them.
template <class Values>
const float* node(float* x, int64_t at, int64_t n, const float* t, const Values& values) {
    if (n == GROUP) {
        values(x, at, t);
        return t + GROUP_FACTORS;
    }
    int parts = is_radix2(n) ? 2 : 4;
    int64_t size = n / parts;
    const float* below = t + (parts == 4 ? 6 : 2);
    if (Values::down) {
        if (parts == 4) pass4<false>(x, size, t);
        else pass2<false>(x, size, t);
    }
    for (int j = 0; j < parts; ++j)
        below = node(x + 2 * j * size, at + 2 * j * size, size, below, values);
    if (Values::up) {
        if (parts == 4) pass4<true>(x, size, t);
        else pass2<true>(x, size, t);
    }
    return below;
}

// ---- factors ----------------------------------------------------------------------------------

inline float* write_root(float* t, double turns) {  // exp(2 pi i turns)
    turns -= std::floor(turns);
    t[0] = (float)std::cos(6.283185307179586476925 * turns);
    t[1] = (float)std::sin(6.283185307179586476925 * turns);
    return t + 2;
}

// Factors of a node modulo X^n - exp(2 pi i turns) and of all below it.
float* write_factors(float* t, int64_t n, double turns) {
    if (n == GROUP) {
        int parts = LEAVES;
        for (int k = 1; k < parts; ++k) t = write_root(t, k * turns / parts);
        for (int below = 4; below <= 16; below *= 4)
            for (int k = 1; k <= 3; ++k, t += 2 * LEAVES)
                for (int l = 0; l < LEAVES; ++l) {
                    float root[2];
                    write_root(root, k * (turns + l) / parts / below);
                    t[l] = root[0], t[LEAVES + l] = root[1];
                }
        return t;
    }
    int parts = is_radix2(n) ? 2 : 4;
    for (int k = 1; k < parts; ++k) t = write_root(t, k * turns / parts);
    for (int j = 0; j < parts; ++j) t = write_factors(t, n / parts, (turns + j) / parts);
    return t;
}

inline int64_t count_factors(int64_t n) {
    if (n == GROUP) return GROUP_FACTORS;
    int parts = is_radix2(n) ? 2 : 4;
    return 2 * (parts - 1) + parts * count_factors(n / parts);
}

// ---- the root: M = R m elements, R parts of m, between real numbers and the tree ---------------

// Factors r_j^n, r_j^R = i, as (cos, sin) at [j][n].
inline float* write_top(float* t, int radix) {
    for (int j = 0; j < radix; ++j)
        for (int n = 0; n < radix; ++n) t = write_root(t, (0.25 + j) / radix * n);
    return t;
}

// values(e): elements e.. e + W of the real polynomial of degree below M (2M where COMPLEX).
template <int R, bool COMPLEX, class Load>
KM_INLINE void top_down(float* x, int64_t m, const float* t, const Load& values) {
    for (int64_t p = 0; p < m; p += W) {
        vf re[R], im[R];
        for (int n = 0; n < R; ++n) {
            re[n] = values(n * m + p);
            if constexpr (COMPLEX) im[n] = values((R + n) * m + p);
        }
        for (int j = 0; j < R; ++j) {
            cv sum{re[0], COMPLEX ? im[0] : splat(0)};
            for (int n = 1; n < R; ++n) {
                vf c = splat(t[2 * (j * R + n)]), s = splat(t[2 * (j * R + n) + 1]);
                sum.re += c * re[n], sum.im += s * re[n];
                if constexpr (COMPLEX) sum.re -= s * im[n], sum.im += c * im[n];
            }
            store_c(x + 2 * (j * m + p), sum);
        }
    }
}

// take(e, v): elements e.. of the result below M (2M where COMPLEX).
template <int R, bool COMPLEX, class Take>
KM_INLINE void top_up(const float* x, int64_t m, const float* t, const Take& take) {
    for (int64_t p = 0; p < m; p += W) {
        cv z[R];
        for (int j = 0; j < R; ++j) z[j] = load_c(x + 2 * (j * m + p));
        for (int n = 0; n < R; ++n) {
            cv sum{splat(0), splat(0)};
            for (int j = 0; j < R; ++j) {
                vf c = splat(t[2 * (j * R + n)]), s = splat(t[2 * (j * R + n) + 1]);
                sum.re += c * z[j].re + s * z[j].im;
                if constexpr (COMPLEX) sum.im += c * z[j].im - s * z[j].re;
            }
            take(n * m + p, sum.re);
            if constexpr (COMPLEX) take((R + n) * m + p, sum.im);
        }
    }
}

struct Plan {
    int64_t size, radix;   // M = radix * (64 * a power of two)
    const float* factors;
    int64_t part() const { return size / radix; }
    const float* tree() const { return factors + 2 * radix * radix; }
};

template <bool COMPLEX, class Load>
void load_polynomial(float* x, const Plan& plan, const Load& values) {
    switch (plan.radix) {
        case 1: return top_down<1, COMPLEX>(x, plan.part(), plan.factors, values);
        case 2: return top_down<2, COMPLEX>(x, plan.part(), plan.factors, values);
        case 3: return top_down<3, COMPLEX>(x, plan.part(), plan.factors, values);
        case 4: return top_down<4, COMPLEX>(x, plan.part(), plan.factors, values);
        case 5: return top_down<5, COMPLEX>(x, plan.part(), plan.factors, values);
        case 6: return top_down<6, COMPLEX>(x, plan.part(), plan.factors, values);
        default: return top_down<7, COMPLEX>(x, plan.part(), plan.factors, values);
    }
}

template <bool COMPLEX, class Take>
void take_polynomial(const float* x, const Plan& plan, const Take& take) {
    switch (plan.radix) {
        case 1: return top_up<1, COMPLEX>(x, plan.part(), plan.factors, take);
        case 2: return top_up<2, COMPLEX>(x, plan.part(), plan.factors, take);
        case 3: return top_up<3, COMPLEX>(x, plan.part(), plan.factors, take);
        case 4: return top_up<4, COMPLEX>(x, plan.part(), plan.factors, take);
        case 5: return top_up<5, COMPLEX>(x, plan.part(), plan.factors, take);
        case 6: return top_up<6, COMPLEX>(x, plan.part(), plan.factors, take);
        default: return top_up<7, COMPLEX>(x, plan.part(), plan.factors, take);
    }
}

template <class Values>
void run_tree(float* x, const Plan& plan, const Values& values) {
    const float* t = plan.tree();
    for (int64_t j = 0, m = plan.part(); j < plan.radix; ++j)
        t = node(x + 2 * j * m, 2 * j * m, m, t, values);
}

}  // namespace
