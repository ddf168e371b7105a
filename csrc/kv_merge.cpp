// KV-cache merging: which neighbours are merged, the merge itself, and column sums of attention.
//
// Rows are (batch, head) pairs; a row's tokens lie `stride` elements apart, channels contiguous.
// All sums are in float32. Parallel over rows; every result is computed by one thread in a fixed
// order, so it does not depend on the number of threads.
#include <algorithm>
#include <cstdlib>
#include <type_traits>

#include "simd.h"

namespace {

enum { OK = 0, NO_MEMORY = 1 };
constexpr float LOG2E = 1.4426950408889634f;

// Orders by a float, then by an index: the larger key comes first.
struct Key {
    uint64_t bits;
    bool operator>(const Key& other) const { return bits > other.bits; }
};
struct Greater {
    bool operator()(const Key& a, const Key& b) const { return a > b; }
};

KM_INLINE uint32_t ordered(float value) {
    value += 0.0f;  // -0 is 0
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
KM_INLINE Key key(float value, uint32_t index) { return {(uint64_t)ordered(value) << 32 | index}; }

template <class T>
void cosines(const T* keys, int64_t tokens, int64_t width, int64_t stride, float* cosine) {
    float before = 0;
    for (int64_t t = 0; t < tokens; ++t) {
        const T *a = keys + t * stride, *b = t + 1 < tokens ? a + stride : a;
        vf norm = splat(0), dot = splat(0);
        int64_t c = 0;
        for (; c + W <= width; c += W) {
            vf x = load(a + c);
            norm += x * x;
            dot += x * load(b + c);
        }
        if (c < width) {
            vf x = load_n(a + c, (int)(width - c), 0.0f);
            norm += x * x;
            dot += x * load_n(b + c, (int)(width - c), 0.0f);
        }
        float square = sum(norm);
        if (t) {
            float scale = std::sqrt(before * square);
            cosine[t - 1] = scale > 0 ? cosine[t - 1] / scale : 0.0f;
        }
        if (t + 1 < tokens) cosine[t] = sum(dot);
        before = square;
    }
}

struct Choice {
    int64_t tokens, recent, heavy, merges;  // merges < 0: by threshold
    float threshold;
};

// Edges of a row. `scratch` holds `tokens` keys and `tokens` bytes.
int64_t choose(const Choice& c, const float* cosine, const float* score, uint8_t* edge, Key* keys,
               uint8_t* kept) {
    int64_t n = c.tokens;
    std::memset(kept, 0, n);
    std::memset(kept + n - c.recent, 1, c.recent);
    if (c.heavy) {
        int64_t others = n - c.recent, heavy = c.heavy < others ? c.heavy : others;
        for (int64_t i = 0; i < others; ++i) keys[i] = key(score[i], ~(uint32_t)i);
        if (heavy < others) std::nth_element(keys, keys + heavy, keys + others, Greater());
        for (int64_t i = 0; i < heavy; ++i) kept[~(uint32_t)keys[i].bits] = 1;
    }
    int64_t eligible = 0;
    if (c.merges < 0) {
        for (int64_t i = 0; i + 1 < n; ++i)
            eligible += edge[i] = !kept[i] && !kept[i + 1] && cosine[i] > c.threshold;
        return eligible;
    }
    std::memset(edge, 0, n > 0 ? n - 1 : 0);
    for (int64_t i = 0; i + 1 < n; ++i)
        if (!kept[i] && !kept[i + 1]) keys[eligible++] = key(cosine[i], (uint32_t)i);
    int64_t count = c.merges < eligible ? c.merges : eligible;
    if (count > 0 && count < eligible)
        std::nth_element(keys, keys + count, keys + eligible, Greater());
    for (int64_t i = 0; i < count; ++i) edge[(uint32_t)keys[i].bits] = 1;
    return count;
}

template <class T>
KM_INLINE float distance(const T* a, const T* b, int64_t width) {
    vf total = splat(0);
    int64_t c = 0;
    for (; c + W <= width; c += W) {
        vf x = load(a + c) - load(b + c);
        total += x * x;
    }
    if (c < width) {
        int n = (int)(width - c);
        vf x = load_n(a + c, n, 0.0f) - load_n(b + c, n, 0.0f);
        total += x * x;
    }
    return sum(total);
}

// out = sum_i weight[i] x[i] over the tokens of a set.
template <class T>
KM_INLINE void combine(const T* x, int64_t stride, int64_t width, const float* weight,
                       int64_t count, T* out) {
    for (int64_t c = 0; c < width; c += W) {
        int n = width - c < W ? (int)(width - c) : W;
        vf total = splat(0);
        for (int64_t i = 0; i < count; ++i)
            total += splat(weight[i]) * load_n(x + i * stride + c, n, 0.0f);
        store_n(out + c, total, n);
    }
}

struct Merge {
    int64_t tokens, width, value_width, key_stride, value_stride, slots;
    float sigma;  // 0: adaptive
    int gaussian, by_value;
};

// One row. weight: scratch of `tokens` floats. Slots behind the last one are zero.
template <class T>
int64_t merge(const Merge& m, const T* keys, const T* values, const int64_t* counts,
              const float* score, const uint8_t* edge, T* out_keys, T* out_values, int32_t* out_counts,
              int32_t* ids, int32_t* pivots, float* weight) {
    int64_t slot = 0;
    for (int64_t first = 0; first < m.tokens; ++slot) {
        int64_t end = first + 1;
        while (end < m.tokens && edge[end - 1]) ++end;
        int64_t count = end - first, pivot = first, total = 0;
        for (int64_t i = first; i < end; ++i) {
            ids[i] = (int32_t)slot;
            total += counts ? counts[i] : 1;
            if (score[i] > score[pivot]) pivot = i;
        }
        out_counts[slot] = (int32_t)total;
        pivots[slot] = (int32_t)pivot;
        const T *k = keys + first * m.key_stride, *v = values + first * m.value_stride;
        T *to_key = out_keys + slot * m.width, *to_value = out_values + slot * m.value_width;
        if (count == 1) {
            std::memcpy(to_key, k, m.width * sizeof(T));
            std::memcpy(to_value, v, m.value_width * sizeof(T));
        } else {
            const T* center = keys + pivot * m.key_stride;
            float spread = 0;
            for (int64_t i = 0; i < count; ++i) {
                weight[i] = distance(center, k + i * m.key_stride, m.width);
                spread += (counts ? (float)counts[first + i] : 1.0f) * std::sqrt(weight[i]);
            }
            float sigma = m.sigma > 0 ? m.sigma : spread / (1.41421356f * (float)total);
            bool flat = !m.gaussian || !(sigma > 0);
            float scale = flat ? 0.0f : 0.5f / (sigma * sigma), sum_ = 0;
            for (int64_t i = 0; i < count; ++i) {
                float n = counts ? (float)counts[first + i] : 1.0f;
                weight[i] = n * (flat ? 1.0f : std::exp(-weight[i] * scale));
                sum_ += weight[i];
            }
            // tokens that count for nothing (padding) have no weight, unless there are no others
            bool nothing = !(sum_ > 0);
            for (int64_t i = 0; i < count; ++i)
                weight[i] = nothing ? 1.0f / (float)count : weight[i] / sum_;
            combine(k, m.key_stride, m.width, weight, count, to_key);
            if (m.by_value)
                for (int64_t i = 0; i < count; ++i) {
                    int64_t n = counts && counts[first + i] > 1 ? counts[first + i] : 1;
                    weight[i] *= (float)total / (float)n;
                }
            combine(v, m.value_stride, m.value_width, weight, count, to_value);
        }
        first = end;
    }
    int64_t left = m.slots - slot;
    if (left > 0) {
        std::memset(out_keys + slot * m.width, 0, left * m.width * sizeof(T));
        std::memset(out_values + slot * m.value_width, 0, left * m.value_width * sizeof(T));
        std::memset(out_counts + slot, 0, left * sizeof(int32_t));
        for (int64_t i = slot; i < m.slots; ++i) pivots[i] = -1;
    }
    return slot;
}

// ---- column sums of attention -------------------------------------------------------------

constexpr int ROWS = W == 16 ? 8 : 4;  // queries at once: 16 or 8 accumulators
constexpr int COLUMNS = 2 * W;         // keys of a panel

// Panels of COLUMNS keys, channel by channel, so that one load serves ROWS queries.
template <class T>
void pack(const T* keys, int64_t tokens, int64_t width, int64_t stride, float* panels) {
    for (int64_t first = 0; first < tokens; first += COLUMNS) {
        float* panel = panels + first * width;
        for (int64_t j = 0; j < COLUMNS; ++j) {
            const T* k = keys + (first + j) * stride;
            for (int64_t c = 0; c < width; c += W) {
                int n = width - c < W ? (int)(width - c) : W;
                vf x = first + j < tokens ? load_n(k + c, n, 0.0f) : splat(0);
                for (int i = 0; i < n; ++i) panel[(c + i) * COLUMNS + j] = x[i];
            }
        }
    }
}

// Adds the columns of softmax over `rows` queries; the last sees `seen` keys, each before one less.
void add_rows(const float* queries, int rows, const float* panels, int64_t width, int64_t seen,
              bool causal, float weight, float* logits, int64_t room, float* sums) {
    float largest[ROWS], inverse[ROWS];
    vf top[ROWS];
    for (int r = 0; r < ROWS; ++r) top[r] = splat(-INFINITY);
    for (int64_t first = 0; first < seen; first += COLUMNS) {
        vf low[ROWS], high[ROWS];
        for (int r = 0; r < ROWS; ++r) low[r] = high[r] = splat(0);
        const float* panel = panels + first * width;
        for (int64_t c = 0; c < width; ++c) {
            vf a = load(panel + c * COLUMNS), b = load(panel + c * COLUMNS + W);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; ++r) {
                vf q = splat(queries[r * width + c]);
                low[r] += q * a;
                high[r] += q * b;
            }
        }
        for (int r = 0; r < ROWS; ++r) {
            int64_t limit = causal ? seen - (rows - 1 - r) : seen;
            if (first + COLUMNS > limit) {
                int64_t n = limit - first;
                low[r] = select(lanes(n < 0 ? 0 : n < W ? (int)n : W), low[r], splat(-INFINITY));
                n -= W;
                high[r] = select(lanes(n < 0 ? 0 : n < W ? (int)n : W), high[r], splat(-INFINITY));
            }
            store(logits + r * room + first, low[r]);
            store(logits + r * room + first + W, high[r]);
            top[r] = max_(low[r], max_(high[r], top[r]));
        }
    }
    for (int r = 0; r < rows; ++r) {
        largest[r] = max_of(top[r]);
        vf total = splat(0), base = splat(largest[r]);
        float* row = logits + r * room;
        for (int64_t j = 0; j < seen; j += W) {
            vf p = exp2_(load(row + j) - base);
            store(row + j, p);
            total += p;
        }
        inverse[r] = weight / sum(total);
    }
    for (int64_t j = 0; j < seen; j += W) {
        vf total = load(sums + j);
        for (int r = 0; r < rows; ++r) total += splat(inverse[r]) * load(logits + r * room + j);
        store(sums + j, total);
    }
}

struct Attention {
    int64_t rows, groups, queries, tokens, width, query_row, query_stride, key_row, key_stride;
    float scale;
    int causal;
};

template <class T>
int column_sums(const void* q_, const void* k_, const Attention& a, float* out, int threads) {
    const T *q = (const T*)q_, *k = (const T*)k_;
    int64_t room = (a.tokens + COLUMNS - 1) / COLUMNS * COLUMNS;
    float* panels = (float*)std::malloc(((size_t)a.rows * room * a.width + 1) * sizeof(float));
    // Each row's queries in a fixed number of parts with sums of their own, added in order.
    int64_t parts = a.rows >= 16 ? 1 : (16 + a.rows - 1) / (a.rows ? a.rows : 1);
    float* sums = (float*)std::calloc((size_t)a.rows * parts * room + 1, sizeof(float));
    bool failed = !panels || !sums;
    if (!failed) {
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            float* logits = (float*)std::malloc((size_t)ROWS * (room + a.width) * sizeof(float));
#pragma omp for schedule(static)
            for (int64_t row = 0; row < a.rows; ++row)
                pack(k + row * a.key_row, a.tokens, a.width, a.key_stride,
                     panels + row * room * a.width);
            int64_t blocks = a.groups * ((a.queries + ROWS - 1) / ROWS);
#pragma omp for schedule(dynamic)
            for (int64_t item = 0; item < a.rows * parts; ++item) {
                if (!logits) {
#pragma omp atomic write
                    failed = true;
                    continue;
                }
                int64_t row = item / parts, part = item % parts;
                float* block = logits + ROWS * room;
                // parts take blocks in turn: those of long rows are spread
                for (int64_t b = part; b < blocks; b += parts) {
                    int64_t group = b % a.groups, first = b / a.groups * ROWS;
                    int rows = a.queries - first < ROWS ? (int)(a.queries - first) : ROWS;
                    const T* from = q + (row * a.groups + group) * a.query_row;
                    for (int r = 0; r < ROWS; ++r)
                        for (int64_t c = 0; c < a.width; c += W) {
                            int n = a.width - c < W ? (int)(a.width - c) : W;
                            vf x = r < rows ? load_n(from + (first + r) * a.query_stride + c, n, 0.0f)
                                            : splat(0);
                            store_n(block + r * a.width + c, x * splat(a.scale * LOG2E), n);
                        }
                    int64_t seen = a.causal ? a.tokens - a.queries + first + rows : a.tokens;
                    add_rows(block, rows, panels + row * room * a.width, a.width, seen, a.causal,
                             1.0f / (float)a.groups, logits, room, sums + item * room);
                }
            }
#pragma omp for schedule(static)
            for (int64_t row = 0; row < a.rows; ++row)
                for (int64_t j = 0; j < a.tokens; ++j) {
                    float total = 0;
                    for (int64_t part = 0; part < parts; ++part)
                        total += sums[(row * parts + part) * room + j];
                    out[row * a.tokens + j] = total;
                }
            std::free(logits);
        }
    }
    std::free(panels);
    std::free(sums);
    return failed ? NO_MEMORY : OK;
}

}  // namespace

// keys: rows of (tokens, width), `strides` of row and token. cosine: (rows, tokens - 1).
KM_EXPORT(kv_cosine)
(const void* keys, const int64_t* sizes, const int64_t* strides, int dtype, float* cosine,
 int threads) {
    int64_t rows = sizes[0], tokens = sizes[1], width = sizes[2];
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
        float* out = cosine + r * (tokens - 1);
        int64_t at = r * strides[0];
        if (dtype == 0) cosines((const float*)keys + at, tokens, width, strides[1], out);
        if (dtype == 1) cosines((const bf16*)keys + at, tokens, width, strides[1], out);
        if (dtype == 2) cosines((const f16*)keys + at, tokens, width, strides[1], out);
    }
    return OK;
}

// Edges by cosine (rows, tokens - 1) and score (rows, tokens); merged: edges of each row.
// choice: recent, heavy, merges (-1: by threshold).
KM_EXPORT(kv_choose)
(const float* cosine, const float* score, const int64_t* sizes, const int64_t* choice,
 float threshold, uint8_t* edges, int64_t* merged, int threads) {
    int64_t rows = sizes[0], tokens = sizes[1];
    Choice c{tokens, choice[0], choice[1], choice[2], threshold};
    bool failed = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Key* keys = (Key*)std::malloc(tokens * sizeof(Key) + 1);
        uint8_t* kept = (uint8_t*)std::malloc(tokens + 1);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; ++r) {
            if (!keys || !kept) {
#pragma omp atomic write
                failed = true;
                continue;
            }
            merged[r] = choose(c, cosine + r * (tokens - 1), score + r * tokens,
                               edges + r * (tokens - 1), keys, kept);
        }
        std::free(keys);
        std::free(kept);
    }
    return failed ? NO_MEMORY : OK;
}

// sizes: rows, tokens, width, value width, slots. strides: key row, key token, value row, value
// token. flags: gaussian, by value. Outputs are contiguous.
KM_EXPORT(kv_merge)
(const void* keys, const void* values, const int64_t* counts, const float* score,
 const uint8_t* edges, const int64_t* sizes, const int64_t* strides, int dtype, float sigma,
 const int* flags, void* out_keys, void* out_values, int32_t* out_counts, int32_t* ids,
 int32_t* pivots, int32_t* lengths, int threads) {
    int64_t rows = sizes[0], tokens = sizes[1], slots = sizes[4];
    Merge m{tokens, sizes[2], sizes[3], strides[1], strides[3], slots, sigma, flags[0], flags[1]};
    bool failed = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        float* weight = (float*)std::malloc(tokens * sizeof(float) + 1);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; ++r) {
            if (!weight) {
#pragma omp atomic write
                failed = true;
                continue;
            }
            auto run = [&](auto* type) {
                using T = std::remove_pointer_t<decltype(type)>;
                lengths[r] = (int32_t)merge(
                    m, (const T*)keys + r * strides[0], (const T*)values + r * strides[2],
                    counts ? counts + r * tokens : nullptr, score + r * tokens,
                    edges + r * (tokens - 1), (T*)out_keys + r * slots * m.width,
                    (T*)out_values + r * slots * m.value_width, out_counts + r * slots,
                    ids + r * tokens, pivots + r * slots, weight);
            };
            if (dtype == 0) run((float*)nullptr);
            if (dtype == 1) run((bf16*)nullptr);
            if (dtype == 2) run((f16*)nullptr);
        }
        std::free(weight);
    }
    return failed ? NO_MEMORY : OK;
}

// sizes: rows, groups, queries, tokens, width. strides: query head, query, key row, key token.
// out: (rows, tokens).
KM_EXPORT(kv_column_sums)
(const void* queries, const void* keys, const int64_t* sizes, const int64_t* strides, int dtype,
 float scale, int causal, float* out, int threads) {
    Attention a{sizes[0],   sizes[1],   sizes[2],   sizes[3], sizes[4], strides[0],
                strides[1], strides[2], strides[3], scale,    causal};
    if (dtype == 0) return column_sums<float>(queries, keys, a, out, threads);
    if (dtype == 1) return column_sums<bf16>(queries, keys, a, out, threads);
    return column_sums<f16>(queries, keys, a, out, threads);
}
