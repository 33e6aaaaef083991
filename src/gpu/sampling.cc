#include "gpu/sampling.h"

#include <cmath>

#include "base/check.h"
#include "device/kernels/sample.h"

namespace throng::gpu {

DeviceSampler::DeviceSampler(device::Device& device)
    : device_(device), weights_(device), masks_(device), tokens_(device) {}

std::vector<int32_t> DeviceSampler::Draw(const float* logits, int vocab,
                                         std::span<const DrawRequest> requests) {
  if (requests.empty()) return {};
  const size_t words = (static_cast<size_t>(vocab) + 63) / 64;
  std::vector<uint64_t> masks;
  for (const DrawRequest& request : requests) {
    const std::span<const uint64_t> mask = request.draw.mask;
    THRONG_CHECK(mask.empty() || mask.size() >= words);
    if (!mask.empty()) masks.insert(masks.end(), mask.begin(), mask.begin() + static_cast<ptrdiff_t>(words));
  }
  const uint64_t* next_mask = masks_.Fill(masks);
  std::vector<device::SampleJob> jobs;
  for (const DrawRequest& request : requests) {
    const model::Draw& draw = request.draw;
    const double least = static_cast<double>(device::kLargestTokenWeight) * static_cast<double>(draw.min_p);
    jobs.push_back({.mask = draw.mask.empty() ? nullptr : next_mask,
                    .row = request.row,
                    .temperature = draw.temperature,
                    .top_p = draw.top_p,
                    .top_k = draw.top_k,
                    .least = static_cast<uint64_t>(std::ceil(least)),
                    .random = draw.random});
    if (!draw.mask.empty()) next_mask += words;
  }
  const device::DeviceArray<device::SampleJob> device_jobs(device_, std::span<const device::SampleJob>(jobs));
  const device::SampleArgs args{.jobs = device_jobs.Data(),
                                .logits = logits,
                                .weights = weights_.Reserve(requests.size() * static_cast<size_t>(vocab)),
                                .tokens = tokens_.Reserve(requests.size()),
                                .vocab = vocab};
  device_.Launch(device::KernelId::kSampleTokens, {static_cast<int>(requests.size()), 1, 1}, &args);
  std::vector<int32_t> tokens(requests.size());
  device_.CopyFrom(tokens.data(), args.tokens, tokens.size() * sizeof(int32_t));
  return tokens;
}

}  // namespace throng::gpu
