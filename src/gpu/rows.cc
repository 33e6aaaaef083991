#include "gpu/rows.h"

#include <span>

#include "base/check.h"

namespace throng::gpu {

using device::KernelId;
using device::RowOp;
using model::Activation;

Floats Upload(device::Device& device, const std::vector<float>& values) {
  if (values.empty()) return nullptr;
  return std::make_unique<device::DeviceArray<float>>(device, std::span<const float>(values));
}

DeviceNorm::DeviceNorm(device::Device& device, const model::Norm& norm)
    : kind_(norm.kind),
      epsilon_(norm.epsilon),
      weight_(Upload(device, norm.weight)),
      bias_(Upload(device, norm.bias)) {}

void DeviceNorm::Apply(device::Device& device, const float* x, int rows, int width, float* out) const {
  THRONG_CHECK(*this);
  const device::NormArgs args{.x = x,
                              .weight = weight_ ? weight_->Data() : nullptr,
                              .bias = bias_ ? bias_->Data() : nullptr,
                              .out = out,
                              .width = width,
                              .epsilon = epsilon_,
                              .centred = kind_ == model::NormKind::kLayer ? 1 : 0};
  device.Launch(KernelId::kNormRows, {rows, 1, 1}, &args);
}

void Map(device::Device& device, RowOp op, float* x, int64_t count, const float* y, int64_t period,
         float factor) {
  const device::MapArgs args{.op = op, .factor = factor, .x = x, .y = y, .count = count, .period = period};
  constexpr int64_t kThreads = device::MapRows::kThreads;
  device.Launch(KernelId::kMapRows, {static_cast<int>((count + kThreads - 1) / kThreads), 1, 1}, &args);
}

void AddBias(device::Device& device, const Floats& bias, float* x, int rows, int width) {
  if (bias != nullptr) Map(device, RowOp::kAdd, x, int64_t{rows} * width, bias->Data(), width);
}

RowOp GateOp(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return RowOp::kGateSilu;
    case Activation::kGeluTanh:
      return RowOp::kGateGeluTanh;
    case Activation::kReluSquared:
      return RowOp::kGateReluSquared;
    case Activation::kGeluTanhInHalves:
      break;
    case Activation::kClampedSwiglu:
      return RowOp::kGateClampedSwiglu;
  }
  THRONG_CHECK(false);
}

RowOp ActivateOp(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return RowOp::kSilu;
    case Activation::kGeluTanh:
      return RowOp::kGeluTanh;
    case Activation::kReluSquared:
      return RowOp::kReluSquared;
    case Activation::kGeluTanhInHalves:
    case Activation::kClampedSwiglu:
      break;
  }
  THRONG_CHECK(false);
}

}  // namespace throng::gpu
