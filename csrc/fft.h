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

#include "fft_group.h"

namespace {

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

template <int R>
struct Radix {
    static constexpr int value = R;
};

template <class Run>
void with_radix(int64_t radix, const Run& run) {
    switch (radix) {
        case 1: return run(Radix<1>());
        case 2: return run(Radix<2>());
        case 3: return run(Radix<3>());
        case 4: return run(Radix<4>());
        case 5: return run(Radix<5>());
        case 6: return run(Radix<6>());
        default: return run(Radix<7>());
    }
}

template <bool COMPLEX, class Load>
void load_polynomial(float* x, const Plan& plan, const Load& values) {
    with_radix(plan.radix, [&](auto radix) {
        top_down<decltype(radix)::value, COMPLEX>(x, plan.part(), plan.factors, values);
    });
}

template <bool COMPLEX, class Take>
void take_polynomial(const float* x, const Plan& plan, const Take& take) {
    with_radix(plan.radix, [&](auto radix) {
        top_up<decltype(radix)::value, COMPLEX>(x, plan.part(), plan.factors, take);
    });
}

template <class Values>
void run_tree(float* x, const Plan& plan, const Values& values) {
    const float* t = plan.tree();
    for (int64_t j = 0, m = plan.part(); j < plan.radix; ++j)
        t = node(x + 2 * j * m, 2 * j * m, m, t, values);
}

}  // namespace
