// Tokens drawn on a device: those that engine/sampling/sampler.h draws from the same logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "gpu/buffer.h"
#include "model/transformer.h"

namespace throng::gpu {

struct DrawRequest {
  int row;  // of logits
  model::Draw draw;
};

class DeviceSampler {
 public:
  explicit DeviceSampler(device::Device& device);
  // logits: [rows, vocab] of the device. Returns a token for each request; -1 if none is left.
  std::vector<int32_t> Draw(const float* logits, int vocab, std::span<const DrawRequest> requests);

 private:
  device::Device& device_;
  Buffer<uint64_t> weights_, masks_;
  Buffer<int32_t> tokens_;
};

}  // namespace throng::gpu
