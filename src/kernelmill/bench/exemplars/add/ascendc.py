"""add: every vector core takes a stretch and moves it through its local memory in tiles."""

project_json_src = """
[{
  "op": "AddCustom",
  "language": "cpp",
  "input_desc": [
    {"name": "x", "param_type": "required", "format": ["ND"], "type": ["float"]},
    {"name": "y", "param_type": "required", "format": ["ND"], "type": ["float"]}
  ],
  "output_desc": [
    {"name": "z", "param_type": "required", "format": ["ND"], "type": ["float"]}
  ]
}]
"""

host_tiling_src = """
#include "register/tilingdata_base.h"

namespace optiling {
BEGIN_TILING_DATA_DEF(AddCustomTiling)
  TILING_DATA_FIELD_DEF(uint32_t, count);
  TILING_DATA_FIELD_DEF(uint32_t, stretch);
END_TILING_DATA_DEF;

REGISTER_TILING_DATA_CLASS(AddCustom, AddCustomTiling)
}
"""

host_operator_src = """
#include "add_custom_tiling.h"
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

  AddCustomTiling tiling;
  tiling.set_count(count);
  tiling.set_stretch(stretch);
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
class AddCustom : public OpDef {
 public:
  explicit AddCustom(const char* name) : OpDef(name) {
    Input("x").ParamType(REQUIRED).DataType({ge::DT_FLOAT}).Format({ge::FORMAT_ND});
    Input("y").ParamType(REQUIRED).DataType({ge::DT_FLOAT}).Format({ge::FORMAT_ND});
    Output("z").ParamType(REQUIRED).DataType({ge::DT_FLOAT}).Format({ge::FORMAT_ND});
    SetInferShape(ge::Shape).SetInferDataType(ge::Type);
    AICore().SetTiling(optiling::Tile);
    AICore().AddConfig("ascend910b");
  }
};

OP_ADD(AddCustom);
}
"""

kernel_src = """
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t TILE = 4096;  // floats: with two buffers for each of three, 96 KiB

class Adder {
 public:
  __aicore__ inline Adder(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t count, uint32_t stretch) {
    const uint32_t first = stretch * GetBlockIdx();
    length = first >= count ? 0 : (count - first < stretch ? count - first : stretch);
    xs.SetGlobalBuffer((__gm__ float*)x + first, length);
    ys.SetGlobalBuffer((__gm__ float*)y + first, length);
    zs.SetGlobalBuffer((__gm__ float*)z + first, length);
    pipe.InitBuffer(xQueue, 2, TILE * sizeof(float));
    pipe.InitBuffer(yQueue, 2, TILE * sizeof(float));
    pipe.InitBuffer(zQueue, 2, TILE * sizeof(float));
  }

  __aicore__ inline void Run() {
    for (uint32_t at = 0; at < length; at += TILE) {
      const uint32_t n = length - at < TILE ? length - at : TILE;
      const DataCopyExtParams bytes{1, static_cast<uint32_t>(n * sizeof(float)), 0, 0, 0};
      const DataCopyPadExtParams<float> pad{false, 0, 0, 0};
      LocalTensor<float> a = xQueue.AllocTensor<float>();
      LocalTensor<float> b = yQueue.AllocTensor<float>();
      DataCopyPad(a, xs[at], bytes, pad);
      DataCopyPad(b, ys[at], bytes, pad);
      xQueue.EnQue(a);
      yQueue.EnQue(b);

      a = xQueue.DeQue<float>();
      b = yQueue.DeQue<float>();
      LocalTensor<float> c = zQueue.AllocTensor<float>();
      Add(c, a, b, n);
      zQueue.EnQue(c);
      xQueue.FreeTensor(a);
      yQueue.FreeTensor(b);

      c = zQueue.DeQue<float>();
      DataCopyPad(zs[at], c, bytes);
      zQueue.FreeTensor(c);
    }
  }

 private:
  TPipe pipe;
  TQue<QuePosition::VECIN, 2> xQueue, yQueue;
  TQue<QuePosition::VECOUT, 2> zQueue;
  GlobalTensor<float> xs, ys, zs;
  uint32_t length;
};

extern "C" __global__ __aicore__ void add_custom(GM_ADDR x, GM_ADDR y, GM_ADDR z,
                                                 GM_ADDR workspace, GM_ADDR tiling) {
  GET_TILING_DATA(plan, tiling);
  Adder adder(x, y, z, plan.count, plan.stretch);
  adder.Run();
}
"""

python_bind_src = """
#include <torch/extension.h>

#include "pytorch_npu_helper.hpp"

at::Tensor add(const at::Tensor& x, const at::Tensor& y) {
  at::Tensor z = at::empty_like(x);
  EXEC_NPU_CMD(aclnnAddCustom, x, y, z);
  return z;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("add", &add); }
"""

model_src = """
import custom_ops_lib
import torch


class ModelNew(torch.nn.Module):
    def forward(self, x, y):
        return custom_ops_lib.add(x.contiguous(), y.contiguous())
"""
