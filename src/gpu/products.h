// A model's matrices in a device's memory, and products with them.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "device/device.h"
#include "device/weight_kernels.h"
#include "gpu/buffer.h"
#include "model/matmul/matmul.h"

namespace throng::gpu {

class DeviceMatrix {
 public:
  DeviceMatrix() = default;  // none
  // Copies it. Throws kUnsupported, naming `what`, for formats and shapes without kernels.
  DeviceMatrix(device::Device& device, const model::Matrix& matrix, std::string_view what);

  // Some of its rows, which have these bytes too.
  DeviceMatrix Rows(int first, int count) const;

  explicit operator bool() const { return bytes_ != nullptr; }
  const device::WeightKernels& Kernels() const { return *kernels_; }
  int Outputs() const { return outputs_; }
  int Cols() const { return cols_; }
  int64_t RowBytes() const { return row_bytes_; }
  const uint8_t* Data() const { return bytes_->Data() + first_ * row_bytes_; }

 private:
  const device::WeightKernels* kernels_ = nullptr;
  int outputs_ = 0, cols_ = 0;
  int64_t row_bytes_ = 0;
  int64_t first_ = 0;  // of the rows that the bytes hold
  std::shared_ptr<device::DeviceArray<uint8_t>> bytes_;
};

// Multiplies rows with matrices.
class Multiplier {
 public:
  explicit Multiplier(device::Device& device);

  // What is multiplied from here on, until its memory changes. x: [rows, cols] of the device.
  void SetRows(const float* x, int rows, int cols);
  // y: [rows, y_stride]. fine: as in Product of model/matmul/matmul.h; before products that are not, of the
  // same rows, so that they are rounded once.
  void Multiply(const DeviceMatrix& matrix, float* y, int64_t y_stride, bool fine = false);

 private:
  void Round(int terms);

  device::Device& device_;
  const float* x_ = nullptr;
  int rows_ = 0, cols_ = 0;
  int rounded_terms_ = 0;
  struct Rounded {
    Buffer<int8_t> codes;
    Buffer<float> scales, sums;
  };
  Rounded rounded_[2];
};

}  // namespace throng::gpu
