// Operations on rows in a device's memory, as model/row_ops.h has them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/kernels/rows.h"
#include "model/blocks/norm.h"
#include "model/row_ops.h"

namespace throng::gpu {

using Floats = std::unique_ptr<device::DeviceArray<float>>;

// Null for no values.
Floats Upload(device::Device& device, const std::vector<float>& values);

// A norm with weights for all rows.
class DeviceNorm {
 public:
  DeviceNorm() = default;  // none
  DeviceNorm(device::Device& device, const model::Norm& norm);

  explicit operator bool() const { return kind_ != model::NormKind::kNone; }
  // x, out: [rows, width]; out may be x. There is a norm.
  void Apply(device::Device& device, const float* x, int rows, int width, float* out) const;

 private:
  model::NormKind kind_ = model::NormKind::kNone;
  float epsilon_ = 0.0f;
  Floats weight_, bias_;
};

// x: [count]; y: [period], repeated.
void Map(device::Device& device, device::RowOp op, float* x, int64_t count, const float* y, int64_t period,
         float factor = 0.0f);
// Adds to each row of x; nothing if bias is null.  bias: [width]
void AddBias(device::Device& device, const Floats& bias, float* x, int rows, int width);

device::RowOp GateOp(model::Activation activation);      // activation(x) * y
device::RowOp ActivateOp(model::Activation activation);  // activation(x)

}  // namespace throng::gpu
