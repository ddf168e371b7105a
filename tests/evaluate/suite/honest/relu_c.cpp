// task: relu_uniform | backend: cpp
// The plain C form: no Python at all.
#include "kernelmill.h"

extern "C" int forward(const km_tensor* in, int n_in, km_tensor* out, int n_out) {
    const float* x = (const float*)in[0].data;
    float* y = (float*)out[0].data;
    for (int64_t i = 0; i < km_numel(&in[0]); i++) y[i] = x[i] < 0 ? 0 : x[i];
    return 0;
}
