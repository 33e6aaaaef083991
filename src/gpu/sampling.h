// Tokens drawn on a device: those that engine/sampling/sampler.h draws from the same logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "gpu/buffer.h"
#include "llm/llm.h"

namespace throng::gpu {

struct DrawRequest {
  llm::Sampling sampling;  // with a repetition penalty of 1: the kernel has none
  int token_index;         // of the answer, which the random number depends on
  // A bit for each token that is allowed, as in Sampler::Sample; empty: all are.
  std::span<const uint64_t> mask;
};

class DeviceSampler {
 public:
  explicit DeviceSampler(device::Device& device);
  // logits: [requests, vocab] of the device. Returns a token for each request; -1 if none is left.
  std::vector<int32_t> Draw(const float* logits, int vocab, std::span<const DrawRequest> requests);

 private:
  device::Device& device_;
  Buffer<uint64_t> weights_, masks_;
  Buffer<int32_t> tokens_;
};

}  // namespace throng::gpu
