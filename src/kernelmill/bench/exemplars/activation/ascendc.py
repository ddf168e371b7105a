"""leaky_relu: one vector instruction a tile; the slope travels as an attribute."""

project_json_src = """
[{
  "op": "LeakyReluCustom",
  "language": "cpp",
  "input_desc": [
    {"name": "x", "param_type": "required", "format": ["ND"], "type": ["float"]}
  ],
  "output_desc": [
    {"name": "z", "param_type": "required", "format": ["ND"], "type": ["float"]}
  ],
  "attr": [
    {"name": "slope", "param_type": "required", "type": "float"}
  ]
}]
"""

host_tiling_src = """
#include "register/tilingdata_base.h"

namespace optiling {
BEGIN_TILING_DATA_DEF(LeakyReluCustomTiling)
  TILING_DATA_FIELD_DEF(uint32_t, count);
  TILING_DATA_FIELD_DEF(uint32_t, stretch);
  TILING_DATA_FIELD_DEF(float, slope);
END_TILING_DATA_DEF;

REGISTER_TILING_DATA_CLASS(LeakyReluCustom, LeakyReluCustomTiling)
}
"""

host_operator_src = """
#include "leaky_relu_custom_tiling.h"
#include "register/op_def_registry.h"
#include "tiling/platform/platform_ascendc.h"

namespace optiling {
static ge::graphStatus Tile(gert::TilingContext* context) {
  const uint32_t count = context->GetInputShape(0)->GetOriginShape().GetShapeSize();
  auto platform = platform_ascendc::PlatformAscendC(context->GetPlatformInfo());
  uint32_t cores = platform.GetCoreNumAiv();
  cores = cores == 0 ? 1 : cores;
  // Stretches begin at multiples of 8 floats: 32 bytes, what one transfer moves at least.
  const uint32_t stretch = ((count + cores - 1) / cores + 7) / 8 * 8;
  context->SetBlockDim(stretch == 0 ? 1 : (count + stretch - 1) / stretch);

  LeakyReluCustomTiling tiling;
  tiling.set_count(count);
  tiling.set_stretch(stretch);
  tiling.set_slope(*context->GetAttrs()->GetFloat(0));
  auto raw = context->GetRawTilingData();
  tiling.SaveToBuffer(raw->GetData(), raw->GetCapacity());
  raw->SetDataSize(tiling.GetDataSize());
  context->GetWorkspaceSizes(1)[0] = 0;
  return ge::GRAPH_SUCCESS;
}
}

namespace ge {
static graphStatus Shape(gert::InferShapeContext* context) {
  *context->GetOutputShape(0) = *context->GetInputShape(0);
  return GRAPH_SUCCESS;
}

static graphStatus Type(gert::InferDataTypeContext* context) {
  context->SetOutputDataType(0, context->GetInputDataType(0));
  return GRAPH_SUCCESS;
}
}

namespace ops {
class LeakyReluCustom : public OpDef {
 public:
  explicit LeakyReluCustom(const char* name) : OpDef(name) {
    Input("x").ParamType(REQUIRED).DataType({ge::DT_FLOAT}).Format({ge::FORMAT_ND});
    Output("z").ParamType(REQUIRED).DataType({ge::DT_FLOAT}).Format({ge::FORMAT_ND});
    Attr("slope").Float();
    SetInferShape(ge::Shape).SetInferDataType(ge::Type);
    AICore().SetTiling(optiling::Tile);
    AICore().AddConfig("ascend910b");
  }
};

OP_ADD(LeakyReluCustom);
}
"""

kernel_src = """
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t TILE = 4096;  // floats: with two buffers for each of two, 64 KiB

class Bender {
 public:
  __aicore__ inline Bender(GM_ADDR x, GM_ADDR z, uint32_t count, uint32_t stretch, float slope)
      : slope(slope) {
    const uint32_t first = stretch * GetBlockIdx();
    length = first >= count ? 0 : (count - first < stretch ? count - first : stretch);
    xs.SetGlobalBuffer((__gm__ float*)x + first, length);
    zs.SetGlobalBuffer((__gm__ float*)z + first, length);
    pipe.InitBuffer(xQueue, 2, TILE * sizeof(float));
    pipe.InitBuffer(zQueue, 2, TILE * sizeof(float));
  }

  __aicore__ inline void Run() {
    for (uint32_t at = 0; at < length; at += TILE) {
      const uint32_t n = length - at < TILE ? length - at : TILE;
      const DataCopyExtParams bytes{1, static_cast<uint32_t>(n * sizeof(float)), 0, 0, 0};
      const DataCopyPadExtParams<float> pad{false, 0, 0, 0};
      LocalTensor<float> a = xQueue.AllocTensor<float>();
      DataCopyPad(a, xs[at], bytes, pad);
      xQueue.EnQue(a);

      a = xQueue.DeQue<float>();
      LocalTensor<float> c = zQueue.AllocTensor<float>();
      LeakyRelu(c, a, slope, n);
      zQueue.EnQue(c);
      xQueue.FreeTensor(a);

      c = zQueue.DeQue<float>();
      DataCopyPad(zs[at], c, bytes);
      zQueue.FreeTensor(c);
    }
  }

 private:
  TPipe pipe;
  TQue<QuePosition::VECIN, 2> xQueue;
  TQue<QuePosition::VECOUT, 2> zQueue;
  GlobalTensor<float> xs, zs;
  uint32_t length;
  float slope;
};

extern "C" __global__ __aicore__ void leaky_relu_custom(GM_ADDR x, GM_ADDR z, GM_ADDR workspace,
                                                        GM_ADDR tiling) {
  GET_TILING_DATA(plan, tiling);
  Bender bender(x, z, plan.count, plan.stretch, plan.slope);
  bender.Run();
}
"""

python_bind_src = """
#include <torch/extension.h>

#include "pytorch_npu_helper.hpp"

at::Tensor leaky_relu(const at::Tensor& x, double slope) {
  at::Tensor z = at::empty_like(x);
  EXEC_NPU_CMD(aclnnLeakyReluCustom, x, slope, z);
  return z;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("leaky_relu", &leaky_relu); }
"""

model_src = """
import custom_ops_lib
import torch


class ModelNew(torch.nn.Module):
    def __init__(self, negative_slope=0.01):
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x):
        return custom_ops_lib.leaky_relu(x.contiguous(), self.negative_slope)
"""
