// Fused neighborhood attention on grids of three axes, forward and backward.
//
// A task is a tile of TQ queries of one head and dilation group, one query per lane. The keys that
// any of them attends are a box, since the ends of the windows never decrease along an axis; they
// are taken in chunks, with an online softmax per lane. Backward walks over the same tiles and adds
// into the rows of the keys' gradients; slabs of tiles that touch no common key run in parallel,
// first the even ones, then the odd ones, so that sums do not depend on the number of threads.
#include "neighborhood.h"

namespace {

// Logits in base 2: adds the bias, sets what is not attended to minus infinity.
template <class T, class R>
KM_INLINE void finish_logits(
    const Problem<T, R>& p, Scratch<T, R>& w, int64_t h, int count, bool window) {
    constexpr int N = VN<R>;
    const R* bias = p.bias && window ? p.bias + h * p.bias_size : nullptr;
    for (int j = 0; j < count; ++j) {
        R* s = w.s + j * TQ<R>;
        uint32_t bits = w.chunk_mask[j];
        if (bias)
            for (int lane = 0; lane < TQ<R>; ++lane)
                if (bits >> lane & 1)
                    s[lane] += bias[w.chunk_place[j] + w.lane_place[lane]] * (R)LOG2E;
        vstore(s, where_bits<R>(bits, vload(s), (R)-INFINITY));
        vstore(s + N, where_bits<R>(bits >> N, vload(s + N), (R)-INFINITY));
    }
}

template <class T, class R>
void forward_tile(const Problem<T, R>& p, Scratch<T, R>& w, Tile<T, R>& tile) {
    constexpr int N = VN<R>;
    tile.place(p, w);
    gather_tile<R>(w.q_rows, p.width, p.scale * (R)LOG2E, w.qt);
    std::memset(w.ot, 0, p.v_width * TQ<R> * sizeof(R));
    Vec<R> top[2], total[2];
    for (int i = 0; i < 2; ++i) top[i] = vsplat<R>((R)-1e30), total[i] = Vec<R>{};
    auto chunk = [&](int count, bool window) {
        dots<R>(w.k_rows, count, w.qt, p.width, w.s);
        finish_logits(p, w, tile.h, count, window);
        for (int i = 0; i < 2; ++i) {
            Vec<R> most = top[i];
            for (int j = 0; j < count; ++j) {
                Vec<R> s = vload(w.s + j * TQ<R> + i * N);
                most = s < most ? most : s;  // NaN comes through
            }
            Vec<R> shrink = vexp2(top[i] - most), sum = {};
            for (int j = 0; j < count; ++j) {
                Vec<R> e = vexp2(vload(w.s + j * TQ<R> + i * N) - most);
                sum += e;
                vstore(w.s + j * TQ<R> + i * N, e);
            }
            total[i] = total[i] * shrink + sum;
            auto changed = top[i] != most;
            bool any = false;
            for (int l = 0; l < N; ++l) any |= changed[l] != 0;
            if (any)
                for (int64_t d = 0; d < p.v_width; ++d) {
                    R* o = w.ot + d * TQ<R> + i * N;
                    vstore(o, vload(o) * shrink);
                }
            top[i] = most;
        }
        combine<R>(w.v_rows, count, w.s, p.v_width, w.ot);
    };
    tile.keys(p, w, false, [&](int count) { chunk(count, true); });
    tile.extra_keys(p, w, 0, p.extra, false, [&](int count) { chunk(count, false); });
    for (int i = 0; i < 2; ++i) {
        vstore(w.sum + i * N, (R)1 / total[i]);
        for (int l = 0; l < N; ++l) {
            int64_t index = w.lse_index[i * N + l];
            if (index >= 0) p.lse_out[index] = (R)LN2 * top[i][l] + std::log(total[i][l]);
        }
    }
    spread_tile<R>(w.out_rows, p.v_width, w.sum, w.ot);
}

// What a tile adds to the gradients. keys: those of the window, and the additional ones where
// only_extra is false (for the queries' gradient) or [from, to) of them (for their own).
template <class T, class R>
void backward_tile(
    const Problem<T, R>& p, Scratch<T, R>& w, Tile<T, R>& tile, R* grad_bias, bool only_extra,
    int64_t from, int64_t to) {
    constexpr int N = VN<R>;
    int64_t d = round_up(p.width, N), dv = round_up(p.v_width, N);
    tile.place(p, w);
    gather_tile<R>(w.q_rows, p.width, p.scale * (R)LOG2E, w.qt);
    gather_tile<R>(w.do_rows, p.v_width, (R)1, w.ot);  // of the output's gradient
    bool rows = only_extra || p.want_kv;
    if (rows) {
        pack_rows<R>(w.q_rows, p.width, d, p.scale, w.qr);
        pack_rows<R>(w.do_rows, p.v_width, dv, (R)1, w.dor);
    }
    for (int lane = 0; lane < 2 * N; ++lane) {
        if (!w.do_rows[lane]) {  // no query: its weights are 2^-inf
            w.top[lane] = (R)INFINITY, w.delta[lane] = 0;
            continue;
        }
        const T *o = p.out.data + w.lse_index[lane] * p.v_width, *g = w.do_rows[lane];
        Vec<R> sums = {};
        for (int64_t i = 0; i < p.v_width; i += N)
            sums += load_some<R>(o + i, p.v_width - i) * load_some<R>(g + i, p.v_width - i);
        R total = 0;
        for (int i = 0; i < N; ++i) total += sums[i];
        w.delta[lane] = total - p.grad_lse[w.lse_index[lane]];
        w.top[lane] = p.lse[w.lse_index[lane]] * (R)LOG2E;
    }
    if (!only_extra) std::memset(w.dqt, 0, p.width * TQ<R> * sizeof(R));
    auto chunk = [&](int count, bool window, bool into_rows) {
        dots<R>(w.k_rows, count, w.qt, p.width, w.s);
        finish_logits(p, w, tile.h, count, window);
        dots<R>(w.v_rows, count, w.ot, p.v_width, w.dp);
        for (int i = 0; i < 2; ++i) {
            Vec<R> top = vload(w.top + i * N), delta = vload(w.delta + i * N);
            for (int j = 0; j < count; ++j) {
                R *s = w.s + j * TQ<R> + i * N, *dp = w.dp + j * TQ<R> + i * N;
                Vec<R> e = vexp2(vload(s) - top);
                vstore(s, e);
                vstore(dp, e * (vload(dp) - delta));
            }
        }
        if (!only_extra && p.want_q) combine<R>(w.k_rows, count, w.dp, p.width, w.dqt);
        if (into_rows) {
            scatter<R>(w.gv_rows, count, w.s, w.dor, p.v_width, dv);
            scatter<R>(w.gk_rows, count, w.dp, w.qr, p.width, d);
        }
        if (grad_bias && window)
            for (int j = 0; j < count; ++j)
                for (int lane = 0; lane < TQ<R>; ++lane)
                    if (w.chunk_mask[j] >> lane & 1)
                        grad_bias[w.chunk_place[j] + w.lane_place[lane]] +=
                            w.dp[j * TQ<R> + lane];
    };
    if (only_extra) {
        tile.extra_keys(p, w, from, to, true, [&](int n) { chunk(n, false, true); });
        return;
    }
    tile.keys(p, w, p.want_kv, [&](int n) { chunk(n, true, p.want_kv); });
    if (!p.want_q) return;
    tile.extra_keys(p, w, 0, p.extra, false, [&](int n) { chunk(n, false, false); });
    for (int lane = 0; lane < 2 * N; ++lane) w.sum[lane] = p.scale;
    spread_tile<R>(w.out_rows, p.width, w.sum, w.dqt);
}

// sizes: B, L0, L1, L2, H, Hkv, D, Dv, E, d0, d1, d2, k0, k1, k2. strides: q 5, k 5, v 5, ek 3, ev 3.
template <class T, class R>
Problem<T, R> make_problem(
    const void* q, const void* k, const void* v, const void* ek, const void* ev, const void* bias,
    const int64_t* sizes, const int64_t* strides, const int32_t* bounds, double scale) {
    Problem<T, R> p = {};
    p.batch = sizes[0], p.heads = sizes[4], p.kv_heads = sizes[5];
    p.width = sizes[6], p.v_width = sizes[7], p.extra = sizes[8];
    for (int a = 0; a < 3; ++a) {
        p.axis[a] = {bounds, bounds + sizes[1 + a], sizes[1 + a], sizes[9 + a], 1};
        bounds += 2 * sizes[1 + a];
        p.kernel[a] = sizes[12 + a];
    }
    p.bias_stride[2] = 1;
    p.bias_stride[1] = 2 * p.kernel[2] - 1;
    p.bias_stride[0] = p.bias_stride[1] * (2 * p.kernel[1] - 1);
    p.bias_size = p.bias_stride[0] * (2 * p.kernel[0] - 1);
    p.q.data = (const T*)q, p.k.data = (const T*)k, p.v.data = (const T*)v;
    for (int i = 0; i < 5; ++i) {
        p.q.stride[i] = strides[i];
        p.k.stride[i] = strides[5 + i];
        p.v.stride[i] = strides[10 + i];
    }
    p.ek.data = (const T*)ek, p.ev.data = (const T*)ev;
    for (int i = 0; i < 3; ++i) p.ek.stride[i] = strides[15 + i], p.ev.stride[i] = strides[18 + i];
    p.bias = (const R*)bias;
    p.scale = (R)scale;
    return p;
}

template <class T, class R, class G>
void contiguous(const Problem<T, R>& p, Grid<G>& grid, void* data, int64_t heads, int64_t width) {
    grid.data = (G*)data;
    grid.stride[4] = width;
    grid.stride[3] = heads * width;
    grid.stride[2] = grid.stride[3] * p.axis[2].length;
    grid.stride[1] = grid.stride[2] * p.axis[1].length;
    grid.stride[0] = grid.stride[1] * p.axis[0].length;
}

template <class T, class R>
int forward(Problem<T, R> p, void* out, void* lse, int threads) {
    contiguous(p, p.result, out, p.heads, p.v_width);
    p.lse_out = (R*)lse;
    choose_tile(p);
    int64_t most[3], tiles = 1;
    for (int a = 0; a < 3; ++a) most[a] = p.tiles(a, 0), tiles *= most[a];
    int64_t tasks = p.batch * p.heads * p.groups() * tiles;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        Scratch<T, R> w;
        if (!w.make(p, false)) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic, 4)
        for (int64_t task = 0; task < tasks; ++task) {
            if (!w.memory) continue;
            Tile<T, R> tile;
            int64_t t = task % tiles, rest = task / tiles;
            p.group(rest % p.groups(), tile.g);
            rest /= p.groups();
            tile.h = rest % p.heads, tile.b = rest / p.heads;
            tile.kv = tile.h / (p.heads / p.kv_heads);
            int64_t index[3] = {t / (most[1] * most[2]), t / most[2] % most[1], t % most[2]};
            bool there = true;  // a group may have one tile less
            for (int a = 0; a < 3; ++a) {
                there = there && index[a] < p.tiles(a, tile.g[a]);
                tile.base[a] = index[a] * p.axis[a].tile;
            }
            if (there) forward_tile(p, w, tile);
        }
    }
    return failed;
}

// Tiles along an axis that make a slab, so that slabs i and i + 2 have no key in common; the last
// slab takes what is left.
template <class T, class R>
int64_t slab_tiles(const Problem<T, R>& p, int a) {
    const Axis& axis = p.axis[a];
    int64_t most = p.tiles(a, 0);
    for (int64_t step = 1; 3 * step <= most; ++step) {
        bool apart = true;
        for (int64_t g = 0; g < axis.groups && apart; ++g) {
            int64_t slabs = p.tiles(a, g) / step;
            for (int64_t i = 0; i + 2 < slabs && apart; ++i)
                apart = axis.last(g, (i + 1) * step * axis.tile - 1) <
                        axis.first(g, (i + 2) * step * axis.tile);
        }
        if (apart) return step;
    }
    return most;
}

template <class T, class R>
struct Slabs {
    int axis;
    int64_t tiles, most;  // of a slab; slabs of the largest group

    explicit Slabs(const Problem<T, R>& p) : axis(0), tiles(1), most(0) {
        for (int a = 0; a < 3; ++a) {
            int64_t step = slab_tiles(p, a), count = p.tiles(a, 0) / step;
            if (count > most) axis = a, tiles = step, most = count;
        }
    }
};

// Visits the tiles of one head and group, all of them or those of a slab.
template <class T, class R, class F>
void each_tile(const Problem<T, R>& p, Tile<T, R>& tile, int axis, int64_t from, int64_t to, F f) {
    int64_t count[3];
    for (int a = 0; a < 3; ++a) count[a] = p.tiles(a, tile.g[a]);
    for (int64_t i = axis == 0 ? from : 0; i < (axis == 0 ? to : count[0]); ++i)
        for (int64_t j = axis == 1 ? from : 0; j < (axis == 1 ? to : count[1]); ++j)
            for (int64_t l = axis == 2 ? from : 0; l < (axis == 2 ? to : count[2]); ++l) {
                tile.base[0] = i * p.axis[0].tile;
                tile.base[1] = j * p.axis[1].tile;
                tile.base[2] = l * p.axis[2].tile;
                f();
            }
}

template <class T, class R>
int backward(Problem<T, R> p, int threads) {
    choose_tile(p);
    Slabs<T, R> slabs(p);
    int64_t shared = p.heads / p.kv_heads, groups = p.groups();
    int64_t units = p.batch * p.kv_heads * groups;
    int64_t chunks = (p.extra + CHUNK - 1) / CHUNK;
    if (!p.grad_ek.data) chunks = 0;
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        Scratch<T, R> w;
        if (!w.make(p, true)) {
#pragma omp atomic write
            failed = 1;
        }
        for (int odd = 0; odd < 2; ++odd) {
            int64_t half = (slabs.most + 1 - odd) / 2;
#pragma omp for schedule(dynamic, 1)
            for (int64_t task = 0; task < units * half; ++task) {
                if (!w.memory) continue;
                Tile<T, R> tile;
                int64_t slab = 2 * (task % half) + odd, unit = task / half;
                p.group(unit % groups, tile.g);
                tile.kv = unit / groups % p.kv_heads, tile.b = unit / groups / p.kv_heads;
                int64_t tiles = p.tiles(slabs.axis, tile.g[slabs.axis]);
                int64_t mine = tiles / slabs.tiles > 0 ? tiles / slabs.tiles : 1;
                if (slab >= mine) continue;
                int64_t from = slab * slabs.tiles;
                int64_t to = slab + 1 == mine ? tiles : from + slabs.tiles;
                for (int64_t i = 0; i < shared; ++i) {
                    tile.h = tile.kv * shared + i;
                    R* bias = nullptr;
                    if (p.grad_bias)
                        bias = p.grad_bias +
                               (((tile.b * p.heads + tile.h) * groups + unit % groups) *
                                    slabs.most + slab) * p.bias_size;
                    each_tile(p, tile, slabs.axis, from, to, [&] {
                        backward_tile(p, w, tile, bias, false, 0, 0);
                    });
                }
            }
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < p.batch * p.kv_heads * chunks; ++task) {
            if (!w.memory) continue;
            Tile<T, R> tile;
            int64_t from = task % chunks * CHUNK;
            int64_t to = from + CHUNK < p.extra ? from + CHUNK : p.extra;
            tile.kv = task / chunks % p.kv_heads, tile.b = task / chunks / p.kv_heads;
            for (int64_t i = 0; i < shared; ++i)
                for (int64_t group = 0; group < groups; ++group) {
                    tile.h = tile.kv * shared + i;
                    p.group(group, tile.g);
                    each_tile(p, tile, 0, 0, p.tiles(0, tile.g[0]), [&] {
                        backward_tile(p, w, tile, (R*)nullptr, true, from, to);
                    });
                }
        }
    }
    return failed;
}

}  // namespace

#define KM_DISPATCH(dtype, ...)                             \
    switch (dtype) {                                        \
        case 0: { typedef float T; typedef float R; __VA_ARGS__; } \
        case 1: { typedef bf16 T; typedef float R; __VA_ARGS__; }  \
        case 2: { typedef f16 T; typedef float R; __VA_ARGS__; }   \
        case 3: { typedef double T; typedef double R; __VA_ARGS__; } \
    }                                                       \
    return 2;

KM_EXPORT(na_forward)(
    const void* q, const void* k, const void* v, const void* ek, const void* ev, const void* bias,
    const int64_t* sizes, const int64_t* strides, const int32_t* bounds, double scale, int dtype,
    void* out, void* lse, int threads) {
    KM_DISPATCH(dtype, return forward(make_problem<T, R>(
        q, k, v, ek, ev, bias, sizes, strides, bounds, scale), out, lse, threads))
}

// grads: of q (its dtype, contiguous), k, v, additional k and v (zeros, real), bias (zeros: a row
// per head, group and slab); null: not wanted.
KM_EXPORT(na_backward)(
    const void* q, const void* k, const void* v, const void* ek, const void* ev, const void* bias,
    const int64_t* sizes, const int64_t* strides, const int32_t* bounds, double scale, int dtype,
    const void* out, const void* lse, const void* grad_out, const void* grad_lse,
    void* const* grads, int threads) {
    KM_DISPATCH(dtype, {
        auto p = make_problem<T, R>(
            q, k, v, ek, ev, bias, sizes, strides, bounds, scale);
        contiguous(p, p.out, (void*)out, p.heads, p.v_width);
        contiguous(p, p.grad_out, (void*)grad_out, p.heads, p.v_width);
        contiguous(p, p.result, grads[0], p.heads, p.width);
        contiguous(p, p.grad_k, grads[1], p.kv_heads, p.width);
        contiguous(p, p.grad_v, grads[2], p.kv_heads, p.v_width);
        p.grad_ek = {(R*)grads[3], {p.extra * p.kv_heads * p.width, p.kv_heads * p.width, p.width}};
        p.grad_ev = {
            (R*)grads[4], {p.extra * p.kv_heads * p.v_width, p.kv_heads * p.v_width, p.v_width}};
        p.grad_bias = (R*)grads[5];
        p.lse = (const R*)lse;
        p.grad_lse = (const R*)grad_lse;
        p.want_q = grads[0] != nullptr;
        p.want_kv = grads[1] != nullptr;
        return backward(p, threads);
    })
}

// plan: tile on each axis, slabs (rows of the bias' gradient per head and group); useful: the share
// of the products of forward that lie in windows.
KM_EXPORT(na_plan)(
    const int64_t* sizes, const int32_t* bounds, int dtype, int64_t* plan, double* useful) {
    const int64_t strides[21] = {};
    KM_DISPATCH(dtype, {
        auto p = make_problem<T, R>(
            nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, sizes, strides, bounds, 1);
        *useful = choose_tile(p);
        for (int a = 0; a < 3; ++a) plan[a] = p.axis[a].tile;
        plan[3] = Slabs<T, R>(p).most;
        return 0;
    })
}
