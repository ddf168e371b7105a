// Long convolutions, forward and backward; see fft.h for the transforms.
//
// A row is done in blocks of `step` outputs (mostly one block: the row). A block's polynomial has
// room for 2 M coefficients: `real` where those from M on are zero (M >= L: every product's
// coefficients stay apart), else a window of the input wide enough for the block (overlap-save).
// The values of each kernel are computed once per call and serve the whole batch. Padding, gates,
// lengths, the skip connection and half precision happen while reading and writing rows.

#include <cstdlib>
#include <type_traits>

#include "few_taps.h"
#include "fft.h"

namespace {

enum { OK = 0, NO_MEMORY = 1 };

KM_INLINE void* aligned(void* p) { return (void*)(((uintptr_t)p + 63) & ~(uintptr_t)63); }

// The values of kernel (c, h) times `scale`, in w; `room` holds 2 M floats.
template <class T>
void kernel_values(float* w, float* room, const Plan& plan, const Geometry& g, const Arrays<T>& a,
                   int64_t row, float scale) {
    Row<float> k{a.k + row * g.taps, nullptr, 0, g.taps};
    if (!g.ahead && g.taps <= plan.size) {
        load_polynomial<false>(w, plan, [&](int64_t e) { return k.at(e); });
    } else {  // lag -d is X^(2 M - d), with the other sign as X^(2 M) = -1
        std::memset(room, 0, 2 * plan.size * sizeof(float));
        std::memcpy(room, k.data, g.taps * sizeof(float));
        const float* back = a.k_rev + row * g.ahead;
        for (int64_t i = 0; i < g.ahead; ++i) {
            int64_t lag = i + g.offset;
            if (lag) room[2 * plan.size - lag] -= back[i];
            else room[0] += back[i];
        }
        load_polynomial<true>(w, plan, [&](int64_t e) { return load(room + e); });
    }
    run_tree(w, plan, Transform{scale});
}

template <class T>
void load_row(float* x, const Plan& plan, const Geometry& g, const Row<T>& row, int64_t base) {
    if (g.real) load_polynomial<false>(x, plan, [&](int64_t e) { return row.at(e); });
    else load_polynomial<true>(x, plan, [&](int64_t e) { return row.at(base + e); });
}

template <class Take>
void take_row(const float* x, const Plan& plan, const Geometry& g, const Take& take) {
    if (g.real) take_polynomial<false>(x, plan, take);
    else take_polynomial<true>(x, plan, take);
}

// One row of the input with each of its kernels (values w, 2 M apart). x, z: scratch of 2 M.
template <class T>
void convolve_row(float* x, float* z, const float* w, const Plan& plan, const Geometry& g,
                  const Arrays<T>& a, int64_t b, int64_t h, T* y) {
    Row<T> row = a.input(b, h, g.length);
    for (int64_t start = 0; start < g.length; start += g.step) {
        int64_t end = start + g.step < g.length ? start + g.step : g.length;
        int64_t base = start - g.left();
        if (g.kernels > 1) {
            load_row(z, plan, g, row, base);
            run_tree(z, plan, Transform{1.0f});
        } else {
            load_row(x, plan, g, row, base);
            run_tree(x, plan, Convolve{w});
        }
        for (int64_t c = 0; c < g.kernels; ++c) {
            if (g.kernels > 1) run_tree(x, plan, Product{z, w + c * 2 * plan.size});
            bool skips = a.skip;
            vf skip = splat(skips ? a.skip[c * g.heads + h] : 0.0f);
            Row<T> gate{a.gate(b, c, h), nullptr, 0, g.length};
            T* out = y + ((b * g.kernels + c) * g.heads + h) * g.length;
            take_row(x, plan, g, [&](int64_t e, vf v) {
                int64_t t = base + e;
                if (t >= end || t + W <= start) return;
                if (skips) v += skip * row.at(t);
                if (gate.data) v *= gate.at(t);
                put(out, t, v, start, end);
            });
        }
    }
}

template <class T>
int forward(const Plan& plan, const Geometry& g, const Arrays<T>& a, T* y, int threads) {
    if (!plan.size) {
        few_taps_forward(g, a, y, threads);
        return OK;
    }
    // Few heads: several threads share one, each with its own copy of the kernels' values.
    int64_t parts = g.heads >= threads || !g.heads ? 1 : (threads + g.heads - 1) / g.heads;
    if (parts > g.batch) parts = g.batch > 0 ? g.batch : 1;
    int64_t floats = 2 * plan.size, arrays = g.kernels > 1 ? 2 + g.kernels : 2;
    bool failed = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        size_t bytes = arrays * (floats + 16) * sizeof(float) + 64;
        void* memory = std::malloc(bytes);
        float *x = (float*)aligned(memory), *w = x + floats + 16;
        float* z = w + g.kernels * floats + 16;
        if (memory) huge_pages(x, bytes - 64);
#pragma omp for schedule(static)
        for (int64_t item = 0; item < g.heads * parts; ++item) {
            if (!memory) {
#pragma omp atomic write
                failed = true;
                continue;
            }
            int64_t h = item / parts, part = item % parts;
            for (int64_t c = 0; c < g.kernels; ++c)
                kernel_values(w + c * floats, x, plan, g, a, c * g.heads + h,
                              1.0f / (float)plan.size);
            for (int64_t b = g.batch * part / parts; b < g.batch * (part + 1) / parts; ++b)
                convolve_row(x, z, w, plan, g, a, b, h, y);
        }
        std::free(memory);
    }
    return failed ? NO_MEMORY : OK;
}

template <class T>
struct Backward {
    const Plan& plan;
    const Geometry& g;
    const Arrays<T>& a;
    const T* grad;  // (B, C, H, L), strided
    const int64_t* grad_strides;
    const Gradients<T>& to;
    float *x, *z, *sum, *w, *kernel;  // 2 M each; w and kernel C times

    bool input() const { return to.u || to.in_gate; }
    bool values() const { return input() || to.out_gate; }
    bool parameters() const { return to.k || to.k_rev || to.skip; }

    // Samples first .. last of channel h. Sums over them are left in `kernel`.
    void rows(int64_t h, int64_t first, int64_t last) const {
        int64_t floats = 2 * plan.size;
        if (values())
            for (int64_t c = 0; c < g.kernels; ++c)
                kernel_values(w + c * floats, x, plan, g, a, c * g.heads + h,
                              1.0f / (float)plan.size);
        if (parameters()) std::memset(kernel, 0, g.kernels * floats * sizeof(float));
        for (int64_t b = first; b < last; ++b) {
            Row<T> row = a.input(b, h, g.length);
            for (int64_t start = 0; start < g.length; start += g.step) {
                int64_t end = start + g.step < g.length ? start + g.step : g.length;
                if (parameters() || to.out_gate) {
                    load_row(z, plan, g, row.cut(start, end), start - g.right());
                    run_tree(z, plan, Transform{1.0f});
                }
                for (int64_t c = 0; c < g.kernels; ++c) {
                    if (to.out_gate) gate_gradient(b, c, h, row);
                    if (input() || parameters()) block(b, c, h, row, start, end);
                }
            }
        }
    }

    // Gradients of channel h's kernels from `parts` sums, `apart` floats from one to the next.
    void finish(int64_t h, int64_t parts, int64_t apart) const {
        for (int64_t part = 1; part < parts; ++part)
            for (int64_t i = 0; i < g.kernels * 2 * plan.size; i += W)
                store(kernel + i, load(kernel + i) + load(kernel + part * apart + i));
        for (int64_t c = 0; c < g.kernels; ++c) parameter_gradients(c, h);
    }

    // The result without its gate, times the gradient; whole rows only.
    void gate_gradient(int64_t b, int64_t c, int64_t h, const Row<T>& row) const {
        run_tree(x, plan, Product{z, w + c * 2 * plan.size});
        Row<T> dy{grad + b * grad_strides[0] + c * grad_strides[1] + h * grad_strides[2], nullptr,
                  0, g.length};
        T* out = to.out_gate + ((b * g.kernels + c) * g.heads + h) * g.length;
        vf skip = splat(a.skip ? a.skip[c * g.heads + h] : 0.0f);
        take_polynomial<false>(x, plan, [&](int64_t t, vf v) {
            if (t >= g.length) return;
            if (a.skip) v += skip * row.at(t);
            put(out, t, v * dy.at(t), 0, g.length);
        });
    }

    void block(int64_t b, int64_t c, int64_t h, const Row<T>& row, int64_t start,
               int64_t end) const {
        int64_t floats = 2 * plan.size, base = start - g.right();
        const T* from = grad + b * grad_strides[0] + c * grad_strides[1] + h * grad_strides[2];
        Row<T> dy{from, a.gate(b, c, h), 0, g.length};
        load_row(x, plan, g, dy, base);
        const float* values = w + c * floats;
        float* total = kernel + c * floats;
        if (!input()) return run_tree(x, plan, Correlate<false, true>{values, z, total});
        if (parameters()) run_tree(x, plan, Correlate<true, true>{values, z, total});
        else run_tree(x, plan, Correlate<true, false>{values, z, total});

        vf skip = splat(a.skip ? a.skip[c * g.heads + h] : 0.0f);
        bool skips = a.skip, first = c == 0, last = c + 1 == g.kernels;
        int64_t at = (b * g.heads + h) * g.length;
        T *to_u = to.u ? to.u + at : nullptr, *to_gate = to.in_gate ? to.in_gate + at : nullptr;
        Row<T> u{row.data, nullptr, row.low, row.high};
        Row<T> gate{row.gate, nullptr, row.low, row.high};
        take_row(x, plan, g, [&](int64_t e, vf v) {
            int64_t t = base + e;
            if (t >= end || t + W <= start) return;
            if (skips) v += skip * dy.at(t);
            if (!first) v += load(sum + e);
            if (!last) return store(sum + e, v);
            if (t + W > row.high) {  // behind the sequence's length nothing has a gradient
                int64_t n = row.high - t;
                v = select(lanes(n < 0 ? 0 : (int)n), v, splat(0));
            }
            if (to_gate) put(to_gate, t, v * u.at(t), start, end);
            if (to_u) put(to_u, t, row.gate ? v * gate.at(t) : v, start, end);
        });
    }

    void parameter_gradients(int64_t c, int64_t h) const {
        float* values = kernel + c * 2 * plan.size;
        int64_t row = c * g.heads + h, size = plan.size;
        run_tree(values, plan, Back{});
        vf scale = splat(1.0f / (float)size);
        float* dk = to.k ? to.k + row * g.taps : nullptr;
        if (!g.ahead && g.taps <= size) {
            take_polynomial<false>(values, plan, [&](int64_t e, vf v) {
                v *= scale;
                if (e == 0 && to.skip) to.skip[row] = v[0];
                if (dk && e < g.taps) put(dk, e, v, 0, g.taps);
            });
            return;
        }
        take_polynomial<true>(values, plan, [&](int64_t e, vf v) { store(x + e, v * scale); });
        if (to.skip) to.skip[row] = x[0];
        if (dk) std::memcpy(dk, x, g.taps * sizeof(float));
        if (to.k_rev)
            for (int64_t i = 0; i < g.ahead; ++i) {
                int64_t lag = i + g.offset;
                to.k_rev[row * g.ahead + i] = lag ? -x[2 * size - lag] : x[0];
            }
    }
};

template <class T>
int backward(const Plan& plan, const Geometry& g, const Arrays<T>& a, const T* grad,
             const int64_t* grad_strides, const Gradients<T>& to, int threads) {
    if (!plan.size)
        return few_taps_backward(g, a, grad, grad_strides, to, threads) ? OK : NO_MEMORY;
    // Few heads: several threads share one, each sums over its part of the batch.
    int64_t parts = g.heads >= threads || !g.heads ? 1 : (threads + g.heads - 1) / g.heads;
    if (parts > g.batch) parts = g.batch > 0 ? g.batch : 1;
    int64_t floats = 2 * plan.size, sums = g.kernels * floats;
    int64_t owned = 3 * floats + sums + (parts > 1 ? 0 : sums) + 5 * 16;
    void* shared = parts > 1 ? std::malloc(g.heads * parts * sums * sizeof(float) + 64) : nullptr;
    bool failed = parts > 1 && !shared;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        void* memory = failed ? nullptr : std::malloc(owned * sizeof(float) + 64);
        float *x = (float*)aligned(memory), *z = x + floats + 16, *sum = z + floats + 16;
        float *w = sum + floats + 16, *kernel = w + sums + 16;
        if (memory) huge_pages(x, owned * sizeof(float));
        Backward<T> run{plan, g, a, grad, grad_strides, to, x, z, sum, w, kernel};
#pragma omp for schedule(static)
        for (int64_t item = 0; item < g.heads * parts; ++item) {
            if (!memory) {
#pragma omp atomic write
                failed = true;
                continue;
            }
            int64_t h = item / parts, part = item % parts;
            if (shared) run.kernel = (float*)aligned(shared) + item * sums;
            run.rows(h, g.batch * part / parts, g.batch * (part + 1) / parts);
            if (!shared && run.parameters()) run.finish(h, 1, 0);
        }
        if (shared && run.parameters()) {
#pragma omp for schedule(static)
            for (int64_t h = 0; h < g.heads; ++h) {
                if (failed) continue;
                run.kernel = (float*)aligned(shared) + h * parts * sums;
                run.finish(h, parts, sums);
            }
        }
        std::free(memory);
    }
    std::free(shared);
    return failed ? NO_MEMORY : OK;
}

Geometry geometry(const int64_t* s) {
    return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[9], s[10]};
}

template <class T>
Arrays<T> arrays(const void* const* p, const int64_t* strides) {
    return {(const T*)p[0],  (const T*)p[1],     (const T*)p[2],     strides,
            strides + 2,     strides + 4,        (const float*)p[3], (const float*)p[4],
            (const float*)p[5], (const int64_t*)p[6]};
}

}  // namespace

// sizes: M, radix. factors: room for them, or null: how many floats they need goes to count.
KM_EXPORT(long_conv_factors)(const int64_t* sizes, float* factors, int64_t* count) {
    int64_t size = sizes[0], radix = sizes[1], m = size / radix;
    if (!factors) {
        *count = 2 * radix * radix + radix * count_factors(m);
        return OK;
    }
    float* t = write_top(factors, (int)radix);
    for (int64_t j = 0; j < radix; ++j) t = write_factors(t, m, (0.25 + j) / radix);
    return OK;
}

// sizes: B, C, H, L, taps, taps of k_rev, its offset, M (0: few taps, at most MOST_TAPS on both
// sides together), radix, real, step. inputs: u, in_gate,
// out_gate, k, k_rev, skip, lengths (null where absent). strides: u (b, h), in_gate (b, h),
// out_gate (b, c, h). y: (B, C, H, L).
KM_EXPORT(long_conv_forward)
(const int64_t* sizes, const float* factors, const void* const* inputs, const int64_t* strides,
 int dtype, void* y, int threads) {
    Plan plan{sizes[7], sizes[8], factors};
    Geometry g = geometry(sizes);
    if (dtype == 0) return forward(plan, g, arrays<float>(inputs, strides), (float*)y, threads);
    if (dtype == 1) return forward(plan, g, arrays<bf16>(inputs, strides), (bf16*)y, threads);
    return forward(plan, g, arrays<f16>(inputs, strides), (f16*)y, threads);
}

// grad: (B, C, H, L) with strides (b, c, h) behind those of the inputs. outputs: gradients of u,
// in_gate, out_gate (only where `real`), k, k_rev, skip, contiguous (null where not wanted).
KM_EXPORT(long_conv_backward)
(const int64_t* sizes, const float* factors, const void* const* inputs, const int64_t* strides,
 int dtype, const void* grad, void* const* outputs, int threads) {
    Plan plan{sizes[7], sizes[8], factors};
    Geometry g = geometry(sizes);
    auto run = [&](auto* type) {
        using T = std::remove_pointer_t<decltype(type)>;
        Gradients<T> to{(T*)outputs[0],     (T*)outputs[1],     (T*)outputs[2],
                        (float*)outputs[3], (float*)outputs[4], (float*)outputs[5]};
        return backward(plan, g, arrays<T>(inputs, strides), (const T*)grad, strides + 7, to,
                        threads);
    };
    if (dtype == 0) return run((float*)nullptr);
    if (dtype == 1) return run((bf16*)nullptr);
    return run((f16*)nullptr);
}
