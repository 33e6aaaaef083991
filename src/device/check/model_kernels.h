// What the check of a device runs the kernels of a model on that are not attention's: products, rows, draws.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/weight_kernels.h"

namespace throng::device {

// A format of weights, with made-up blocks.
struct WeightFormat {
  const char* name;           // of WeightKernels
  int bytes, weights;         // of a block
  std::vector<int> scales;    // where a block has factors in f16; of floats none
  bool has_exponent = false;  // a block's first byte is the exponent of its factor

  const WeightKernels& Kernels() const;
  std::vector<uint8_t> Random(size_t count, uint64_t seed) const;
};
std::span<const WeightFormat> WeightFormats();

// A product of noise with such a matrix.
class ProductCall {
 public:
  ProductCall(Device& device, const WeightFormat& format, int outputs, int cols, int rows);
  void Launch();  // without the rounding of activations, which is done once
  std::vector<float> Out() const { return y_->ToHost(); }
  double BytesRead() const;  // of weights, if each is read once

 private:
  Device* device_;
  const ProductKernel* kernel_;
  std::unique_ptr<DeviceArray<uint8_t>> weights_;
  std::unique_ptr<DeviceArray<float>> x_, y_;
  struct Rounded {
    std::unique_ptr<DeviceArray<int8_t>> codes;
    std::unique_ptr<DeviceArray<float>> scales, sums;
  };
  Rounded rounded_[2];
  ProductArgs args_{};
};

// Calls report(kernel, results on the device, results in emulation, whether they must have the same bits) for
// all of these kernels, on the same noise.
using ReportFloats = std::function<void(const std::string& kernel, const std::vector<float>& got,
                                        const std::vector<float>& expected, bool exact)>;
void CompareModelKernels(Device& device, Device& emulated, bool tiny, const ReportFloats& report);

}  // namespace throng::device
