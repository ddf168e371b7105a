// What the long convolutions take: rows with gates and lengths, kernels, gradients.
#pragma once

#include "simd.h"

namespace {

struct Geometry {
    int64_t batch, kernels, heads, length;      // B, C, H, L
    int64_t taps, ahead, offset;                // causal taps; taps of k_rev; lag of its tap 0
    int64_t real, step;                         // see above
    int64_t left() const { return real ? 0 : taps - 1; }
    int64_t right() const { return real || !ahead ? 0 : ahead - 1 + offset; }
};

// Elements [low, high) of a row, times a gate; zero elsewhere.
template <class T>
struct Row {
    const T *data, *gate;
    int64_t low, high;

    static vf part(const T* p, int64_t from, int64_t to, int64_t t) {
        T buffer[W] = {};
        std::memcpy(buffer + (from - t), p + from, (to - from) * sizeof(T));
        return load(buffer);
    }
    vf __attribute__((noinline)) edge(int64_t t) const {
        int64_t from = t < low ? low : t, to = t + W > high ? high : t + W;
        if (from >= to) return splat(0);
        vf v = part(data, from, to, t);
        return gate ? v * part(gate, from, to, t) : v;
    }
    KM_INLINE vf at(int64_t t) const {
        if (__builtin_expect(t < low || t + W > high, 0))
            return t >= high || t + W <= low ? splat(0) : edge(t);
        vf v = load(data + t);
        return gate ? v * load(gate + t) : v;
    }
    Row cut(int64_t from, int64_t to) const {
        return {data, gate, from > low ? from : low, to < high ? to : high};
    }
};

// Writes what of t .. t + W lies in [low, high).
template <class T>
KM_INLINE void put(T* row, int64_t t, vf v, int64_t low, int64_t high) {
    if (__builtin_expect(t >= low && t + W <= high, 1)) return store(row + t, v);
    int64_t from = t < low ? low : t, to = t + W > high ? high : t + W;
    if (from >= to) return;
    T buffer[W];
    store(buffer, v);
    std::memcpy(row + from, buffer + (from - t), (to - from) * sizeof(T));
}

template <class T>
struct Arrays {
    const T *u, *in_gate, *out_gate;
    const int64_t *u_strides, *in_strides, *out_strides;  // (b, h), (b, h), (b, c, h)
    const float *k, *k_rev, *skip;                        // contiguous
    const int64_t* lengths;

    Row<T> input(int64_t b, int64_t h, int64_t length) const {
        int64_t end = lengths && lengths[b] < length ? lengths[b] : length;
        const T* gate = in_gate ? in_gate + b * in_strides[0] + h * in_strides[1] : nullptr;
        return {u + b * u_strides[0] + h * u_strides[1], gate, 0, end};
    }
    const T* gate(int64_t b, int64_t c, int64_t h) const {
        if (!out_gate) return nullptr;
        return out_gate + b * out_strides[0] + c * out_strides[1] + h * out_strides[2];
    }
};

// Where gradients go; null where none is wanted. Contiguous.
template <class T>
struct Gradients {
    T *u, *in_gate, *out_gate;
    float *k, *k_rev, *skip;
};

}  // namespace
