// Generalised-mean pooling, forward and backward, for x: (batch, count, channels) with arbitrary
// batch stride, where either channels ("tokens") or positions ("rows") are contiguous.
//
//   y = m (mean_n (z_n / m)^p)^(1/p),  z = max(x, eps),  m the largest z (the smallest for p < 0)
//
// Dividing by m keeps every power in [0, 1]. Two sweeps: the first finds m and brings the block
// into the cache, the second sums e = 2^(p l) and e l with l = log2(z / m); the latter gives
// dy/dp = (y / p) (sum e ln z / sum e - ln y) at no further cost.
// Source: GGeM, arXiv 2212.04114.
#include <cstdlib>

#include "simd.h"

namespace {

enum Mode { CLAMP = 0, ABS = 1, SIGNED = 2 };
enum Code { OK = 0, BAD_P = 1, EMPTY_ROW = 2, NOT_POSITIVE = 3 };

constexpr float LN2 = 0.6931471805599453f;
constexpr float NEAR_ZERO = 0.1f;  // below: sums around the mean of l, exact down to p = 0

struct Shape {
    int64_t batch, count, channels, stride_b, stride_n, stride_c, groups;
    float eps;
    int mode;
};

// The treatment of negative values, without branches.
struct Rule {
    float eps;
    int32_t bits, flip;  // kept bits of x; sign bit where terms carry the sign of x
    explicit Rule(const Shape& s)
        : eps(s.eps), bits(s.mode == CLAMP ? -1 : 0x7fffffff),
          flip(s.mode == SIGNED ? (int32_t)0x80000000 : 0) {}
    KM_INLINE vf size(vf x) const { return as_float(as_int(x) & bits); }
    KM_INLINE vf z(vf x) const { return clamp(size(x)); }
    KM_INLINE vf clamp(vf v) const { return v < eps ? splat(eps) : v; }  // keeps NaN
    KM_INLINE vf sign(vf e, vf x) const { return as_float(as_int(e) ^ ((x < 0.0f) & flip)); }
};

// The same channels at successive positions: lane = channel.
template <class T>
struct Column {
    const T* base;
    int64_t stride;
    const int32_t* index;  // the kept positions, or null
    int used;              // lanes
    int64_t steps;
    static constexpr bool ragged = false;

    KM_INLINE vf load_at(int64_t i) const {
        return load_n(base + (index ? index[i] : i) * stride, used, 1.0f);
    }
    KM_INLINE vf weight(int64_t) const { return splat(1.0f); }
    KM_INLINE static vf total(vf v) { return v; }
};

// One channel's positions: lane = position.
template <class T>
struct Row {
    const T* base;
    int64_t count, steps;
    static constexpr bool ragged = true;

    KM_INLINE int width(int64_t i) const {
        return count - i * W < W ? (int)(count - i * W) : W;
    }
    KM_INLINE vf load_at(int64_t i) const { return load_n(base + i * W, width(i), 1.0f); }
    KM_INLINE vf weight(int64_t i) const {
        return select(lanes(width(i)), splat(1.0f), splat(0.0f));
    }
    KM_INLINE static vf total(vf v) { return splat(sum(v)); }
};

struct Sums {
    vf s, t;
};

// s = sum of e, t = sum of e l. With INTEGER: e = z^k for k = 1, 2, 3, not divided by m, no t.
template <bool INTEGER, class Source>
KM_INLINE Sums accumulate(const Source& source, const Rule& rule, vf p, vf scale, int k) {
    vf s = splat(0), t = splat(0);
    for (int64_t start = 0; start < source.steps; start += 64) {  // short sums, then their sum
        int64_t end = start + 64 < source.steps ? start + 64 : source.steps;
        vf s_part = splat(0), t_part = splat(0);
        for (int64_t i = start; i < end; ++i) {
            vf x = source.load_at(i), z = rule.z(x), e = z;
            if (INTEGER) {
                if (k > 1) e *= z;
                if (k > 2) e *= z;
            } else {
                z = log2_(z * scale);
                e = exp2_(p * z);
            }
            e = rule.sign(e, x);
            if (Source::ragged && i == source.steps - 1) e = select(source.weight(i) > 0.0f, e, splat(0));
            s_part += e;
            if (!INTEGER) t_part += e * z;
        }
        s += s_part;
        t += t_part;
    }
    return {Source::total(s), Source::total(t)};
}

struct Result {
    vf y, slope;  // slope = dy/dp
};

KM_INLINE Result finish(Sums sums, vf p, vf m, float count, const Shape& shape) {
    vf size = shape.mode == SIGNED ? abs_(sums.s) : sums.s;
    vf exponent = log2_(size * (1.0f / count)) / p;
    vf y = m * exp2_(exponent);
    vf slope = y / p * LN2 * (sums.t / sums.s - exponent);
    if (shape.mode == SIGNED) {
        vi low = (y < shape.eps) | (size == 0.0f);
        slope = select(low, splat(0), sums.s < 0.0f ? -slope : slope);
        y = y < shape.eps ? splat(shape.eps) : y;
        y = select(size == 0.0f, splat(0), sums.s < 0.0f ? -y : y);
    }
    return {y, slope};
}

// For p near 0, with d = ln z - mean(ln z), a = mean d^2 g(p d), b = mean d^2 h(p d),
// g(u) = (e^u - 1 - u) / u^2, h(u) = (e^u - 1) / u = 1 + u g(u):
//   ln y = mean(ln z) + p a l(p^2 a),  d ln y / dp = b / (1 + p^2 a) - a l(p^2 a),
// l(v) = ln(1 + v) / v. Nothing is divided by p.
template <class Source>
__attribute__((noinline)) Result near_zero(const Source& source, const Rule& rule, vf p, vf m,
                                           float count) {
    vf scale = 1.0f / m, mean = splat(0), a = splat(0), b = splat(0);
    for (int64_t i = 0; i < source.steps; ++i)
        mean += log2_(rule.z(source.load_at(i)) * scale) * source.weight(i);
    mean = Source::total(mean) * (1.0f / count);
    for (int64_t i = 0; i < source.steps; ++i) {
        vf d = (log2_(rule.z(source.load_at(i)) * scale) - mean) * LN2, u = p * d;
        vf g = splat(0), dd = d * d;
        for (int k = 22; k > 0; --k) g = (g * u + 1.0f) / (float)(k + 1);  // sum of u^i / (i + 2)!
        vi counts = source.weight(i) > 0.0f;
        a += select(counts, dd * g, splat(0));
        b += select(counts, dd * (1.0f + u * g), splat(0));
    }
    a = Source::total(a) * (1.0f / count);
    b = Source::total(b) * (1.0f / count);
    vf v = p * p * a, l = v;
    for (int i = 0; i < W; ++i) l[i] = v[i] == 0 ? 1.0f : std::log1p(v[i]) / v[i];
    vf y = m * exp2_(mean + p * a * l * (1.0f / LN2));
    return {y, y * (b / (1.0f + v) - a * l)};
}

// One lane that holds inf or NaN, as the definition has it: NaN wins; +inf is the result for
// p >= 0 and does not count for p < 0.
template <class Source>
__attribute__((noinline)) float not_finite(const Source& source, const Rule& rule, float p,
                                           int lane, double count) {
    bool infinite = false, nan = rule.flip != 0;
    double s = 0, low = INFINITY;
    int first = Source::ragged ? 0 : lane, last = Source::ragged ? W : lane + 1;
    for (int pass = 0; pass < 2; ++pass)
        for (int64_t i = 0; i < source.steps; ++i) {
            vf z = rule.z(source.load_at(i)), weight = source.weight(i);
            for (int j = first; j < last; ++j) {
                double value = z[j];
                if (weight[j] == 0) continue;
                nan |= std::isnan(value);
                infinite |= std::isinf(value);
                if (pass == 0 && value < low) low = value;
                if (pass == 1 && !std::isinf(value)) s += std::pow(value / low, (double)p);
            }
        }
    if (nan) return NAN;
    if (infinite && (p >= 0 || s == 0)) return INFINITY;
    return (float)(low * std::pow(s / count, 1.0 / p));
}

KM_INLINE bool any(vi mask) {
#if defined(KM_ISA_avx512)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#else
    int32_t found = 0;
    for (int i = 0; i < W; ++i) found |= mask[i];
    return found != 0;
#endif
}

// Replaces the lanes that the general formula does not serve. bad: 0, or NaN for inf and NaN.
template <class Source>
KM_INLINE Result repair(Result result, const Source& source, const Rule& rule, vf p, vf m, vf bad,
                        float count) {
    vi small = abs_(p) < NEAR_ZERO;
    if (!rule.flip && any(small)) {
        Result near = near_zero(source, rule, p, m, count);
        result.y = select(small, near.y, result.y);
        result.slope = select(small, near.slope, result.slope);
    }
    if (any(bad != 0.0f))
        for (int i = 0; i < W; ++i)
            if (bad[i] != 0.0f) {
                result.y[i] = not_finite(source, rule, p[i], i, count);
                result.slope[i] = NAN;
            }
    return result;
}

// The path for p = 1, 2, 3 without logarithms; false where the power left float32's range.
template <class Source>
KM_INLINE bool pool_integer(const Source& source, const Rule& rule, int k, float count, vf* out) {
    vf s = accumulate<true>(source, rule, splat(0), splat(0), k).s;
    vf size = rule.flip ? abs_(s) : s;
    if (any(~((size > 1e-30f) & (size < 3e38f)))) return false;
    vf mean = size * (1.0f / count), y = mean;
    if (k == 2)
        for (int i = 0; i < W; ++i) y[i] = std::sqrt(mean[i]);
    if (k == 3) {
        y = exp2_(log2_(mean) * (1.0f / 3.0f));
        y -= (y - mean / (y * y)) * (1.0f / 3.0f);  // one Newton step
    }
    *out = rule.flip ? (s < 0.0f ? -rule.clamp(y) : rule.clamp(y)) : y;
    return true;
}

// 1, 2 or 3 if that is the exponent of every group, else 0.
int integer_exponent(const float* p, int64_t n) {
    if (p[0] != 1 && p[0] != 2 && p[0] != 3) return 0;
    for (int64_t i = 1; i < n; ++i)
        if (p[i] != p[0]) return 0;
    return (int)p[0];
}

// The exponents of n <= W channels from `first` on; the other lanes repeat the last one.
KM_INLINE vf exponents(const float* p, const Shape& s, int64_t first, int n) {
    int64_t width = s.channels / s.groups, g = first / width, left = width - first % width;
    if (left >= n) return splat(p[g]);
    vf out = splat(0);
    for (int i = 0; i < W; ++i) {
        if (left == 0 && i < n) ++g, left = width;
        out[i] = p[g];
        --left;
    }
    return out;
}

KM_INLINE int lanes_left(int64_t total, int64_t at) {
    return total - at < W ? (int)(total - at) : W;
}

constexpr int64_t CHUNK = 1024;  // most channels at once

template <class T>
void forward_tokens(const T* x, const Shape& s, const uint8_t* mask, const float* p, T* y,
                    float* wide, float* slope, int threads) {
    int64_t chunk = (384 << 10) / (s.count * (int64_t)sizeof(T)) / 64 * 64;  // stays in L2
    chunk = chunk < 64 ? 64 : chunk > CHUNK ? CHUNK : chunk;
    while (chunk > 64 && s.batch * ((s.channels + chunk - 1) / chunk) < 2 * threads) chunk /= 2;
    int64_t chunks = (s.channels + chunk - 1) / chunk;
    int k = slope ? 0 : integer_exponent(p, s.groups);
    const Rule rule(s);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        int32_t* index = mask ? (int32_t*)std::malloc(s.count * sizeof(int32_t)) : nullptr;
        alignas(64) float top[CHUNK + W], bad[CHUNK + W], sign[CHUNK + W];
#pragma omp for schedule(static)
        for (int64_t task = 0; task < s.batch * chunks; ++task) {
            int64_t b = task / chunks, first = task % chunks * chunk, kept = s.count;
            int64_t width = s.channels - first < chunk ? s.channels - first : chunk;
            if (mask) {
                kept = 0;
                for (int64_t n = 0; n < s.count; ++n)
                    if (mask[b * s.count + n]) index[kept++] = (int32_t)n;
            }
            const T* base = x + b * s.stride_b + first;
            auto column = [&](int64_t c) {
                return Column<T>{base + c, s.stride_n, index, lanes_left(width, c), kept};
            };
            auto extremes = [&](int64_t from, int64_t to) {  // of channels [from, to)
                for (int64_t c = from; c < to; c += W) {
                    vf power = exponents(p, s, first + c, lanes_left(width, c));
                    store(sign + c, power < 0.0f ? splat(-1) : splat(1));
                    store(top + c, splat(-INFINITY));
                    store(bad + c, splat(0));
                }
                for (int64_t i = 0; i < kept; ++i) {
                    const T* row = base + (mask ? index[i] : i) * s.stride_n;
                    for (int64_t c = from; c < to; c += W) {
                        vf z = rule.z(load_n(row + c, lanes_left(width, c), 1.0f));
                        store(top + c, max_(z * load(sign + c), load(top + c)));
                        store(bad + c, load(bad + c) + (z - z));
                    }
                }
            };
            if (!k) extremes(0, width);
            for (int64_t c = 0; c < width; c += W) {
                int n = lanes_left(width, c);
                auto source = column(c);
                Result result{splat(0), splat(0)};
                if (!k || !pool_integer(source, rule, k, (float)kept, &result.y)) {
                    if (k) extremes(c, c + n);
                    vf power = exponents(p, s, first + c, n), m = load(top + c) * load(sign + c);
                    Sums sums = accumulate<false>(source, rule, power, 1.0f / m, 0);
                    result = finish(sums, power, m, (float)kept, s);
                    result = repair(result, source, rule, power, m, load(bad + c), (float)kept);
                }
                int64_t out = b * s.channels + first + c;
                store_n(y + out, result.y, n);
                if (wide) store_n(wide + out, result.y, n);
                if (slope) store_n(slope + out, result.slope, n);
            }
        }
        std::free(index);
    }
}

template <class T>
void forward_rows(const T* x, const Shape& s, const float* p, T* y, float* wide, float* slope,
                  int threads) {
    int64_t rows = s.batch * s.channels, steps = (s.count + W - 1) / W;
    int k = slope ? 0 : integer_exponent(p, s.groups);
    const Rule rule(s);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
    for (int64_t first = 0; first < rows; first += W) {
        int n = lanes_left(rows, first);
        Sums sums{splat(1), splat(0)};
        vf power = splat(1), m = splat(1);
        Result done{splat(0), splat(0)};
        vi whole = vi{};  // lanes that are finished already
        for (int lane = 0; lane < n; ++lane) {
            int64_t row = first + lane, b = row / s.channels, c = row % s.channels;
            Row<T> source{x + b * s.stride_b + c * s.stride_c, s.count, steps};
            vf exponent = splat(p[c / (s.channels / s.groups)]), root;
            if (k && pool_integer(source, rule, k, (float)s.count, &root)) {
                done.y[lane] = root[0], whole[lane] = -1;
                continue;
            }
            float sign = exponent[0] < 0 ? -1.0f : 1.0f;
            vf top = splat(-INFINITY), bad = splat(0);
            for (int64_t i = 0; i < steps; ++i) {
                vf z = rule.z(source.load_at(i));
                bad += z - z;
                z *= sign;
                if (i == steps - 1) z = select(source.weight(i) > 0.0f, z, top);
                top = max_(z, top);
            }
            vf largest = splat(max_of(top) * sign);
            Sums found = accumulate<false>(source, rule, exponent, 1.0f / largest, 0);
            power[lane] = exponent[0], m[lane] = largest[0];
            sums.s[lane] = found.s[0], sums.t[lane] = found.t[0];
            bad = splat(sum(bad));
            if ((__builtin_fabsf(exponent[0]) < NEAR_ZERO && !rule.flip) || bad[0] != 0.0f) {
                Result fixed = repair(done, source, rule, exponent, largest, bad, (float)s.count);
                done.y[lane] = fixed.y[0], done.slope[lane] = fixed.slope[0], whole[lane] = -1;
            }
        }
        Result result = finish(sums, power, m, (float)s.count, s);
        vf pooled = select(whole, done.y, result.y);
        store_n(y + first, pooled, n);
        if (wide) store_n(wide + first, pooled, n);
        if (slope) store_n(slope + first, select(whole, done.slope, result.slope), n);
    }
}

// dy/dx = (1/N) (z / y)^(p - 1) where x was not clamped.
struct Factors {
    vf inverse, power, factor;  // 1 / y, p - 1, grad / N
};

KM_INLINE Factors factors(vf grad, vf y, vf p, float count, const Shape& s) {
    vf factor = grad * (1.0f / count), size = y;
    if (s.mode == SIGNED) {
        size = abs_(y);
        factor = size <= s.eps ? splat(0) : factor;
        size = size < s.eps ? splat(s.eps) : size;
    }
    return {1.0f / size, p - 1.0f, factor};
}

template <bool INTEGER>
KM_INLINE vf gradient(vf x, const Rule& rule, int mode, int k, vf inverse, vf power, vf factor) {
    vf size = rule.size(x), r = rule.clamp(size) * inverse, g = factor;
    if (INTEGER) {
        if (k > 1) g *= r;
        if (k > 2) g *= r;
    } else {
        g *= exp2_(power * log2_(r));
    }
    if (mode == ABS) g = x < 0.0f ? -g : g;
    return size < rule.eps ? splat(0) : g;
}

template <bool INTEGER, class T>
void backward_tokens(const T* grad, const T* x, const Shape& s, const uint8_t* mask,
                     const float* p, int k, const float* y, T* out, const Shape& o, int threads,
                     bool past_cache) {
    int64_t parts = s.batch >= 4 * threads ? 1 : (s.count + 63) / 64;
    int64_t span = (s.count + parts - 1) / parts, padded = (s.channels + W - 1) / W * W;
    const Rule rule(s);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float* inverse = (float*)std::malloc(3 * padded * sizeof(float));
        float *power = inverse + padded, *factor = power + padded;
#pragma omp for schedule(static)
        for (int64_t task = 0; task < s.batch * parts; ++task) {
            int64_t b = task / parts, start = task % parts * span, kept = s.count;
            int64_t end = start + span < s.count ? start + span : s.count;
            if (mask) {
                kept = 0;
                for (int64_t n = 0; n < s.count; ++n) kept += mask[b * s.count + n] != 0;
            }
            for (int64_t c = 0; c < s.channels; c += W) {
                int n = lanes_left(s.channels, c);
                Factors f = factors(load_n(grad + b * s.channels + c, n, 0.0f),
                                    load_n(y + b * s.channels + c, n, 1.0f),
                                    exponents(p, s, c, n), (float)kept, s);
                store(inverse + c, f.inverse);
                store(power + c, f.power);
                store(factor + c, f.factor);
            }
            for (int64_t i = start; i < end; ++i) {
                const T* row = x + b * s.stride_b + i * s.stride_n;
                T* to = out + b * o.stride_b + i * o.stride_n;
                bool keep = !mask || mask[b * s.count + i];
                for (int64_t c = 0; c < s.channels; c += W) {
                    int n = lanes_left(s.channels, c);
                    vf g = splat(0);
                    if (keep)
                        g = gradient<INTEGER>(load_n(row + c, n, 1.0f), rule, s.mode, k,
                                              load(inverse + c), load(power + c),
                                              load(factor + c));
                    if constexpr (sizeof(T) == 4) {
                        if (past_cache && n == W) {
                            stream(to + c, g);
                            continue;
                        }
                    }
                    store_n(to + c, g, n);
                }
            }
        }
        std::free(inverse);
    }
}

template <bool INTEGER, class T>
void backward_rows(const T* grad, const T* x, const Shape& s, const float* p, int k,
                   const float* y, T* out, const Shape& o, int threads) {
    int64_t rows = s.batch * s.channels, group = s.channels / s.groups;
    const Rule rule(s);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
    for (int64_t first = 0; first < rows; first += W) {
        int n = lanes_left(rows, first);
        vf power = splat(1);
        for (int i = 0; i < n; ++i) power[i] = p[(first + i) % s.channels / group];
        Factors f = factors(load_n(grad + first, n, 0.0f), load_n(y + first, n, 1.0f), power,
                            (float)s.count, s);
        for (int lane = 0; lane < n; ++lane) {
            int64_t row = first + lane, b = row / s.channels, c = row % s.channels;
            const T* from = x + b * s.stride_b + c * s.stride_c;
            T* to = out + b * o.stride_b + c * o.stride_c;
            vf inverse = splat(f.inverse[lane]), exponent = splat(f.power[lane]);
            vf factor = splat(f.factor[lane]);
            for (int64_t i = 0; i < s.count; i += W) {
                int width = lanes_left(s.count, i);
                vf g = gradient<INTEGER>(load_n(from + i, width, 1.0f), rule, s.mode, k, inverse,
                                         exponent, factor);
                store_n(to + i, g, width);
            }
        }
    }
}

template <class T>
void forward(const void* x, const Shape& s, const uint8_t* mask, const float* p, void* y,
             float* wide, float* slope, int threads) {
    if (s.batch * s.count * s.channels < 16384) threads = 1;
    if (s.stride_c == 1)
        forward_tokens((const T*)x, s, mask, p, (T*)y, wide, slope, threads);
    else
        forward_rows((const T*)x, s, p, (T*)y, wide, slope, threads);
}

template <class T>
void backward(const void* grad_, const void* x_, const Shape& s, const uint8_t* mask,
              const float* p, const float* y, void* out_, const Shape& o, int threads) {
    const T *grad = (const T*)grad_, *x = (const T*)x_;
    T* out = (T*)out_;
    int64_t elements = s.batch * s.count * s.channels;
    if (elements < 16384) threads = 1;
    bool past_cache = elements > (4 << 20);
    if (o.stride_b == s.count * s.channels) huge_pages(out_, elements * sizeof(T));
    int k = integer_exponent(p, s.groups);
    if (s.stride_c == 1 && k)
        backward_tokens<true>(grad, x, s, mask, p, k, y, out, o, threads, past_cache);
    else if (s.stride_c == 1)
        backward_tokens<false>(grad, x, s, mask, p, k, y, out, o, threads, past_cache);
    else if (k)
        backward_rows<true>(grad, x, s, p, k, y, out, o, threads);
    else
        backward_rows<false>(grad, x, s, p, k, y, out, o, threads);
}

Shape shape(const int64_t* sizes, const int64_t* strides, float eps, int mode) {
    return {sizes[0], sizes[1], sizes[2], strides[0], strides[1], strides[2], sizes[3], eps, mode};
}

}  // namespace

// sizes: batch, count, channels, groups. strides: of x, in elements. mask: (batch, count) bytes
// or null. dtype: 0 float32, 1 bfloat16, 2 float16. wide: y in float32, or null. slope: dy/dp,
// or null when p needs no gradient.
KM_EXPORT(gem_forward)
(const void* x, const int64_t* sizes, const int64_t* strides, const uint8_t* mask, const float* p,
 float eps, int dtype, int mode, void* y, float* wide, float* slope, int threads) {
    Shape s = shape(sizes, strides, eps, mode);
    for (int64_t g = 0; g < s.groups; ++g) {
        if (!std::isfinite(p[g])) return BAD_P;
        if (mode == SIGNED && !(p[g] > 0)) return NOT_POSITIVE;
    }
    if (mask)
        for (int64_t b = 0; b < s.batch; ++b)
            if (!std::memchr(mask + b * s.count, 1, s.count)) return EMPTY_ROW;
    auto run = dtype == 0 ? forward<float> : dtype == 1 ? forward<bf16> : forward<f16>;
    run(x, s, mask, p, y, wide, slope, threads);
    return OK;
}

// grad: (batch, channels) contiguous, dtype of x; y: float32. out: the gradient of x, with the
// same contiguous dimension.
KM_EXPORT(gem_backward)
(const void* grad, const void* x, const int64_t* sizes, const int64_t* strides,
 const uint8_t* mask, const float* p, float eps, int dtype, int mode, const float* y, void* out,
 const int64_t* out_strides, int threads) {
    Shape s = shape(sizes, strides, eps, mode), o = shape(sizes, out_strides, eps, mode);
    auto run = dtype == 0 ? backward<float> : dtype == 1 ? backward<bf16> : backward<f16>;
    run(grad, x, s, mask, p, y, out, o, threads);
    return OK;
}

// grad_p[g] = sum over the batch and the group's channels of grad * slope.
KM_EXPORT(gem_grad_p)
(const void* grad, int dtype, const float* slope, int64_t batch, int64_t channels, int64_t groups,
 float* out) {
    int64_t width = channels / groups;
    for (int64_t g = 0; g < groups; ++g) {
        double total = 0;
        for (int64_t b = 0; b < batch; ++b) {
            vf part = splat(0);
            for (int64_t c = 0; c < width; c += W) {
                int n = width - c < W ? (int)(width - c) : W;
                int64_t at = b * channels + g * width + c;
                vf value = dtype == 0   ? load_n((const float*)grad + at, n, 0.0f)
                           : dtype == 1 ? load_n((const bf16*)grad + at, n, 0.0f)
                                        : load_n((const f16*)grad + at, n, 0.0f);
                part += value * load_n(slope + at, n, 0.0f);
            }
            total += sum(part);
        }
        out[g] = (float)total;
    }
    return OK;
}
