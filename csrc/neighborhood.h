// The problem of neighborhood attention: windows, tensors, scratch, and the tiles of queries with the
// chunks of keys that they attend.
#pragma once

#include <cstdlib>

#include "attention_tile.h"

namespace {

constexpr int CHUNK = 64;  // keys at a time
constexpr double LOG2E = 1.4426950408889634, LN2 = 0.6931471805599453;

struct Axis {
    const int32_t *start, *end;  // of every token, in coordinates of its group
    int64_t length, groups;      // tokens; dilation
    int64_t tile;                // queries of a tile along this axis

    int64_t size(int64_t g) const { return (length - g + groups - 1) / groups; }
    int64_t first(int64_t g, int64_t p) const { return start[p * groups + g]; }
    int64_t last(int64_t g, int64_t p) const { return end[p * groups + g]; }
};

template <class T>
struct Grid {  // (B, X, Y, Z, H, D), channels contiguous
    T* data;
    int64_t stride[5];

    T* at(int64_t b, const int64_t* x, int64_t h) const {
        return data + b * stride[0] + x[0] * stride[1] + x[1] * stride[2] + x[2] * stride[3] +
               h * stride[4];
    }
};

template <class T>
struct Extra {  // (B, E, H, D)
    T* data;
    int64_t stride[3];

    T* at(int64_t b, int64_t e, int64_t h) const {
        return data + b * stride[0] + e * stride[1] + h * stride[2];
    }
};

template <class T, class R>
struct Problem {
    Axis axis[3];
    int64_t batch, heads, kv_heads, width, v_width, extra;
    int64_t bias_stride[3], bias_size;  // of a head's relative position bias
    int64_t kernel[3];
    Grid<const T> q, k, v;
    Extra<const T> ek, ev;
    const R* bias;
    R scale;
    // backward
    Grid<const T> out, grad_out;
    const R *lse, *grad_lse;  // (B, X, Y, Z, H) contiguous
    Grid<T> result;           // out, or the gradient of q
    R* lse_out;
    Grid<R> grad_k, grad_v;
    Extra<R> grad_ek, grad_ev;
    R* grad_bias;  // a row per task
    bool want_q, want_kv;

    int64_t groups() const { return axis[0].groups * axis[1].groups * axis[2].groups; }
    void group(int64_t index, int64_t* g) const {
        g[2] = index % axis[2].groups;
        g[1] = index / axis[2].groups % axis[1].groups;
        g[0] = index / axis[2].groups / axis[1].groups;
    }
    int64_t tiles(int a, int64_t g) const {
        return (axis[a].size(g) + axis[a].tile - 1) / axis[a].tile;
    }
    int64_t lse_at(int64_t b, const int64_t* x, int64_t h) const {
        return (((b * axis[0].length + x[0]) * axis[1].length + x[1]) * axis[2].length + x[2]) *
                   heads + h;
    }
};

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

template <class T, class R>
struct Scratch {
    R *qt, *ot, *dqt, *s, *dp, *qr, *dor, *converted;
    uint32_t* mask;
    int32_t* place;  // of every key in the bias, without the query's part
    const R *k_rows[CHUNK], *v_rows[CHUNK];
    R *gk_rows[CHUNK], *gv_rows[CHUNK];
    uint32_t chunk_mask[CHUNK];
    int64_t chunk_place[CHUNK];
    int64_t lane_place[TQ<R>];
    const T *q_rows[TQ<R>], *do_rows[TQ<R>];
    T* out_rows[TQ<R>];
    R top[TQ<R>], sum[TQ<R>], delta[TQ<R>];
    int64_t lse_index[TQ<R>];
    uint32_t* axis_mask[3];
    void* memory;

    bool make(const Problem<T, R>& p, bool backward) {
        int64_t d = round_up(p.width, VN<R>), dv = round_up(p.v_width, VN<R>), t = TQ<R>;
        int64_t masks = p.axis[0].length + p.axis[1].length + p.axis[2].length;
        int64_t reals = t * (d + dv) + CHUNK * t;
        if (backward) reals += t * (d + d + dv) + CHUNK * t;
        if (sizeof(T) != sizeof(R)) reals += CHUNK * (d + dv);
        memory = std::malloc(reals * sizeof(R) + masks * 4 + 64);
        if (!memory) return false;
        R* at = (R*)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
        auto take = [&](int64_t n) {
            R* mine = at;
            at += n;
            return mine;
        };
        qt = take(t * d), ot = take(t * dv), s = take(CHUNK * t);
        dqt = dp = qr = dor = converted = nullptr;
        if (backward) dqt = take(t * d), dp = take(CHUNK * t), qr = take(t * d), dor = take(t * dv);
        if (sizeof(T) != sizeof(R)) converted = take(CHUNK * (d + dv));
        axis_mask[0] = (uint32_t*)at;
        axis_mask[1] = axis_mask[0] + p.axis[0].length;
        axis_mask[2] = axis_mask[1] + p.axis[1].length;
        return true;
    }
    ~Scratch() { std::free(memory); }
};

// A row as numbers of type R: itself, or converted into `room`.
template <class R, class T>
KM_INLINE const R* as_real(const T* row, int64_t width, R* room) {
    if constexpr (sizeof(T) == sizeof(R)) {
        return (const R*)row;
    } else {
        for (int64_t d = 0; d < width; d += VN<R>)
            vstore(room + d, load_some<R>(row + d, width - d));
        return room;
    }
}

// The queries of a tile: where they lie, and which keys of each axis they attend.
template <class T, class R>
struct Tile {
    int64_t b, h, kv, g[3], base[3], lo[3], hi[3];

    void place(const Problem<T, R>& p, Scratch<T, R>& w) {
        constexpr int N = TQ<R>;
        int64_t step[3] = {p.axis[1].tile * p.axis[2].tile, p.axis[2].tile, 1};
        int64_t count[3];
        uint32_t below[3][N + 1];  // lanes whose offset on the axis is smaller
        for (int a = 0; a < 3; ++a) {
            int64_t size = p.axis[a].size(g[a]);
            count[a] = size - base[a] < p.axis[a].tile ? size - base[a] : p.axis[a].tile;
            for (int o = 0; o <= count[a]; ++o) below[a][o] = 0;
        }
        for (int lane = 0; lane < N; ++lane) {
            int64_t x[3], offset[3];
            bool valid = true;
            w.lane_place[lane] = 0;
            for (int a = 0; a < 3; ++a) {
                offset[a] = lane / step[a] % p.axis[a].tile;
                valid = valid && offset[a] < count[a];
                x[a] = (base[a] + offset[a]) * p.axis[a].groups + g[a];
                w.lane_place[lane] +=
                    (p.kernel[a] - 1 - base[a] - offset[a]) * p.bias_stride[a];
            }
            w.q_rows[lane] = valid ? p.q.at(b, x, h) : nullptr;
            w.out_rows[lane] = valid ? p.result.at(b, x, h) : nullptr;
            w.lse_index[lane] = valid ? p.lse_at(b, x, h) : -1;
            if (p.grad_out.data) w.do_rows[lane] = valid ? p.grad_out.at(b, x, h) : nullptr;
            if (!valid) continue;
            for (int a = 0; a < 3; ++a)
                for (int o = offset[a] + 1; o <= count[a]; ++o) below[a][o] |= 1u << lane;
        }
        for (int a = 0; a < 3; ++a) {
            lo[a] = p.axis[a].first(g[a], base[a]);
            hi[a] = p.axis[a].last(g[a], base[a] + count[a] - 1);
            int64_t from = 0, to = 0;  // offsets of the queries that attend r
            for (int64_t r = lo[a]; r <= hi[a]; ++r) {
                while (from < count[a] && p.axis[a].last(g[a], base[a] + from) < r) ++from;
                while (to < count[a] && p.axis[a].first(g[a], base[a] + to) <= r) ++to;
                w.axis_mask[a][r - lo[a]] = from < to ? below[a][to] & ~below[a][from] : 0;
            }
        }
    }

    // Calls f(count) with a chunk of keys in w, over the window's box; with gradients' rows.
    template <class F>
    KM_INLINE void keys(const Problem<T, R>& p, Scratch<T, R>& w, bool gradients, F f) {
        int64_t d = round_up(p.width, VN<R>), dv = round_up(p.v_width, VN<R>), x[3];
        int n = 0;
        for (int64_t r0 = lo[0]; r0 <= hi[0]; ++r0)
            for (int64_t r1 = lo[1]; r1 <= hi[1]; ++r1) {
                uint32_t outer = w.axis_mask[0][r0 - lo[0]] & w.axis_mask[1][r1 - lo[1]];
                if (!outer) continue;
                x[0] = r0 * p.axis[0].groups + g[0];
                x[1] = r1 * p.axis[1].groups + g[1];
                for (int64_t r2 = lo[2]; r2 <= hi[2]; ++r2) {
                    uint32_t bits = outer & w.axis_mask[2][r2 - lo[2]];
                    if (!bits) continue;
                    x[2] = r2 * p.axis[2].groups + g[2];
                    R* room = w.converted + n * (d + dv);
                    w.k_rows[n] = as_real<R>(p.k.at(b, x, kv), p.width, room);
                    w.v_rows[n] = as_real<R>(p.v.at(b, x, kv), p.v_width, room + d);
                    w.chunk_mask[n] = bits;
                    w.chunk_place[n] = r0 * p.bias_stride[0] + r1 * p.bias_stride[1] +
                                       r2 * p.bias_stride[2];
                    if (gradients) {
                        w.gk_rows[n] = p.grad_k.at(b, x, kv);
                        w.gv_rows[n] = p.grad_v.at(b, x, kv);
                    }
                    if (++n == CHUNK) f(n), n = 0;
                }
            }
        if (n) f(n);
    }

    // The same over additional keys [from, to).
    template <class F>
    KM_INLINE void extra_keys(
        const Problem<T, R>& p, Scratch<T, R>& w, int64_t from, int64_t to, bool gradients, F f) {
        int64_t d = round_up(p.width, VN<R>), dv = round_up(p.v_width, VN<R>);
        int n = 0;
        for (int64_t e = from; e < to; ++e) {
            R* room = w.converted + n * (d + dv);
            w.k_rows[n] = as_real<R>(p.ek.at(b, e, kv), p.width, room);
            w.v_rows[n] = as_real<R>(p.ev.at(b, e, kv), p.v_width, room + d);
            w.chunk_mask[n] = ~0u;
            if (gradients) {
                w.gk_rows[n] = p.grad_ek.at(b, e, kv);
                w.gv_rows[n] = p.grad_ev.at(b, e, kv);
            }
            if (++n == CHUNK) f(n), n = 0;
        }
        if (n) f(n);
    }
};

// Keys that tiles of `tile` queries along an axis reach, summed over the tiles; how many tiles.
struct Reach {
    double keys = 0, tiles = 0;
    Reach(const Axis& axis, int64_t tile) {
        int64_t size = axis.size(0);
        for (int64_t q = 0; q < size; q += tile, ++tiles)
            keys += axis.last(0, (q + tile < size ? q + tile : size) - 1) - axis.first(0, q) + 1;
    }
};

// Queries of a tile on each axis: powers of two with product TQ and the fewest products. Returns
// the share of the products that lie within windows.
template <class T, class R>
double choose_tile(Problem<T, R>& p) {
    double best = INFINITY, useful = 0, within = 1;
    for (int a = 0; a < 3; ++a) within *= Reach(p.axis[a], 1).keys;
    for (int64_t t0 = 1; t0 <= TQ<R>; t0 *= 2)
        for (int64_t t1 = 1; t0 * t1 <= TQ<R>; t1 *= 2) {
            int64_t t[3] = {t0, t1, TQ<R> / (t0 * t1)};
            double keys = 1, tiles = 1;
            for (int a = 0; a < 3; ++a) {
                Reach reach(p.axis[a], t[a]);
                keys *= reach.keys, tiles *= reach.tiles;
            }
            double cost = keys + tiles * (p.extra + 8);  // 8: what a tile costs by itself
            if (cost >= best) continue;
            best = cost, useful = within / (keys * TQ<R>);
            for (int a = 0; a < 3; ++a) p.axis[a].tile = t[a];
        }
    return useful;
}

}  // namespace
