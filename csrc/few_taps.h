// Convolution with a few taps as the sum that it is: 2 L Lk operations, each output once.
#pragma once

#include <cstdlib>

#include "long_conv.h"

namespace {

constexpr int64_t CHUNK = 2048;  // outputs at once: their inputs stay in the first cache
constexpr int MOST_TAPS = 64;

// Both sides of a kernel as one: tap[p] stands for lag p - right.
struct Taps {
    float tap[MOST_TAPS];
    int64_t right, count;
    int64_t left() const { return count - 1 - right; }
};

template <class T>
Taps all_taps(const Geometry& g, const Arrays<T>& a, int64_t row) {
    Taps taps{{}, g.right(), g.taps + g.right()};
    for (int64_t i = 0; i < g.taps; ++i) taps.tap[taps.right + i] = a.k[row * g.taps + i];
    for (int64_t i = 0; i < g.ahead; ++i)
        taps.tap[taps.right - i - g.offset] += a.k_rev[row * g.ahead + i];
    return taps;
}

// Elements from .. from + count of a row, and zeros up to the next multiple of 4 W and one more.
template <class T>
void copy_row(float* to, const Row<T>& row, int64_t from, int64_t count) {
    int64_t i = 0;
    for (; i < count; i += W) store(to + i, row.cut(from, from + count).at(from + i));
    for (int64_t end = i + 5 * W; i < end; i += W) store(to + i, splat(0));
}

// take(t, sum over p of tap[p] x[t - (p - right)]) for t = start..: x at start - left is x[0].
// ADJOINT: x[t + (p - right)] instead, x at start - right is x[0].
template <bool ADJOINT, class Take>
KM_INLINE void sum_taps(const float* x, const Taps& k, int64_t start, int64_t end,
                        const Take& take) {
    for (int64_t t = start; t < end; t += 4 * W) {
        vf sum[4] = {};
        const float* at = x + (t - start);
        for (int64_t p = 0; p < k.count; ++p) {
            const float* from = ADJOINT ? at + p : at + (k.count - 1 - p);
            vf tap = splat(k.tap[p]);
            for (int i = 0; i < 4; ++i) sum[i] += tap * load(from + i * W);
        }
        for (int i = 0; i < 4; ++i) take(t + i * W, sum[i]);
    }
}

// sum[p] += sum over t of dy[t] x[t - (p - right)].
inline void correlate_taps(const float* dy, const float* x, int64_t count, const Taps& k,
                           float* total) {
    constexpr int AT_ONCE = 8;
    for (int64_t p = 0; p < k.count; p += AT_ONCE) {
        vf sum[AT_ONCE] = {};
        int n = k.count - p < AT_ONCE ? (int)(k.count - p) : AT_ONCE;
        const float* from = x + (k.count - 1 - p);
        if (n == AT_ONCE) {
            for (int64_t t = 0; t < count; t += W) {
                vf g = load(dy + t);
                for (int i = 0; i < AT_ONCE; ++i) sum[i] += g * load(from + t - i);
            }
        } else {
            for (int64_t t = 0; t < count; t += W)
                for (int i = 0; i < n; ++i) sum[i] += load(dy + t) * load(from + t - i);
        }
        for (int i = 0; i < n; ++i) total[p + i] += ::sum(sum[i]);
    }
}

template <class T>
void few_taps_row(const Geometry& g, const Arrays<T>& a, int64_t b, int64_t c, int64_t h,
                  T* out) {
    float x[CHUNK + MOST_TAPS + 8 * W];
    int64_t row = c * g.heads + h;
    Taps k = all_taps(g, a, row);
    if (a.skip) k.tap[k.right] += a.skip[row];
    Row<T> in = a.input(b, h, g.length), factor{a.gate(b, c, h), nullptr, 0, g.length};
    for (int64_t start = 0; start < g.length; start += CHUNK) {
        int64_t end = start + CHUNK < g.length ? start + CHUNK : g.length;
        copy_row(x, in, start - k.left(), end - start + k.count - 1);
        sum_taps<false>(x, k, start, end, [&](int64_t t, vf v) {
            if (factor.data) v *= factor.at(t);
            put(out, t, v, start, end);
        });
    }
}

// All gradients of channel h. sums: room for C * MOST_TAPS floats.
template <class T>
void few_taps_head(const Geometry& g, const Arrays<T>& a, const T* grad,
                   const int64_t* grad_strides, const Gradients<T>& to, int64_t h, float* sums) {
    float x[CHUNK + MOST_TAPS + 8 * W], dy[CHUNK + MOST_TAPS + 8 * W], dx[CHUNK + 4 * W];
    std::memset(sums, 0, g.kernels * MOST_TAPS * sizeof(float));
    bool parameters = to.k || to.k_rev || to.skip;
    for (int64_t b = 0; b < g.batch; ++b) {
        Row<T> in = a.input(b, h, g.length);
        Row<T> u{in.data, nullptr, 0, in.high}, gate{in.gate, nullptr, 0, in.high};
        int64_t at = (b * g.heads + h) * g.length;
        for (int64_t start = 0; start < g.length; start += CHUNK) {
            int64_t end = start + CHUNK < g.length ? start + CHUNK : g.length;
            for (int64_t c = 0; c < g.kernels; ++c) {
                int64_t row = c * g.heads + h;
                Taps k = all_taps(g, a, row);
                const T* from = grad + b * grad_strides[0] + c * grad_strides[1]
                                + h * grad_strides[2];
                Row<T> result{from, a.gate(b, c, h), 0, g.length};
                if (parameters) {
                    copy_row(x, in, start - k.left(), end - start + k.count - 1);
                    copy_row(dy, result, start, end - start);
                    correlate_taps(dy, x, end - start, k, sums + c * MOST_TAPS);
                }
                if (!to.u && !to.in_gate) continue;
                if (a.skip) k.tap[k.right] += a.skip[row];
                copy_row(dy, result, start - k.right, end - start + k.count - 1);
                sum_taps<true>(dy, k, start, end, [&](int64_t t, vf v) {
                    float* sum = dx + (t - start);
                    store(sum, c ? load(sum) + v : v);
                });
            }
            for (int64_t t = start; t < end && (to.u || to.in_gate); t += W) {
                vf v = load(dx + (t - start));
                if (t + W > in.high) {
                    int64_t n = in.high - t;
                    v = select(lanes(n < 0 ? 0 : (int)n), v, splat(0));
                }
                if (to.in_gate) put(to.in_gate + at, t, v * u.at(t), start, end);
                if (to.u) put(to.u + at, t, in.gate ? v * gate.at(t) : v, start, end);
            }
        }
    }
    for (int64_t c = 0; c < g.kernels; ++c) {
        int64_t row = c * g.heads + h, right = g.right();
        const float* sum = sums + c * MOST_TAPS;
        if (to.skip) to.skip[row] = sum[right];
        if (to.k) std::memcpy(to.k + row * g.taps, sum + right, g.taps * sizeof(float));
        for (int64_t i = 0; i < g.ahead && to.k_rev; ++i)
            to.k_rev[row * g.ahead + i] = sum[right - i - g.offset];
    }
}

template <class T>
void few_taps_forward(const Geometry& g, const Arrays<T>& a, T* y, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
    for (int64_t row = 0; row < g.batch * g.kernels * g.heads; ++row)
        few_taps_row(g, a, row / g.heads / g.kernels, row / g.heads % g.kernels, row % g.heads,
                     y + row * g.length);
}

template <class T>
bool few_taps_backward(const Geometry& g, const Arrays<T>& a, const T* grad,
                       const int64_t* grad_strides, const Gradients<T>& to, int threads) {
    float* sums = (float*)std::malloc((size_t)(g.heads * g.kernels * MOST_TAPS + 1) * sizeof(float));
    if (!sums) return false;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
    for (int64_t h = 0; h < g.heads; ++h)
        few_taps_head(g, a, grad, grad_strides, to, h, sums + h * g.kernels * MOST_TAPS);
    std::free(sums);
    return true;
}

}  // namespace
