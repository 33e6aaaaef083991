// A model's forward pass on a device: token ids in, logits out. Weights are copied once; between passes, the
// KV cache is all that stays. As with model/transformer.h, a row of logits depends on the tokens of its
// sequence, the model and the codec alone, not on chunks and batches.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "device/device.h"
#include "gpu/blocks.h"
#include "gpu/cache.h"
#include "gpu/products.h"
#include "gpu/rows.h"
#include "model/model.h"

namespace throng::gpu {

// One sequence's share of a pass: the tokens after those in its cache.
struct DeviceItem {
  std::span<const int32_t> tokens;  // at least one
  DeviceSequence* sequence;         // of the model's cache
  int num_logits;                   // of the last tokens
};

struct CacheOptions {
  std::string_view codec;
  size_t budget_bytes;
  int open_blocks;  // as in DeviceCache
};

// One forward pass at a time.
class DeviceModel {
 public:
  // Throws kUnsupported with one sentence for what the device does not compute: windows, experts, recurrent
  // layers, formats without kernels and others. model, whose ropes are used, and device must outlive it.
  DeviceModel(device::Device& device, const model::Model& model, const CacheOptions& options);

  DeviceCache& Cache() { return cache_; }

  // logits: [sum of num_logits, vocab] of the device, until the next pass; in the order of items and tokens.
  // Throws kExhausted, and changes nothing, if the cache has no room for all tokens; kInvalid for tokens that
  // are not the model's.
  const float* Forward(std::span<const DeviceItem> items);

 private:
  struct Residual {
    DeviceNorm norm, branch_norm, branch_post_norm, post_norm;
    std::variant<DeviceAttention, DeviceFeedForward> block;
    float scale;
  };
  struct Layer {
    std::vector<Residual> residuals;
    float scale;
  };

  static CacheShape ShapeOf(device::Device& device, const model::Model& model);
  Residual MakeResidual(const model::Residual& residual, size_t layer);
  void Check(std::span<const DeviceItem> items) const;
  void Reserve(std::span<const DeviceItem> items) const;
  void Begin(std::span<const DeviceItem> items);
  void PlanCache(std::span<const DeviceItem> items);
  void WriteRopes(std::span<const DeviceItem> items);
  void Run(const Residual& residual);
  const float* Logits(std::span<const DeviceItem> items);
  size_t StreamElements() const;

  device::Device& device_;
  const model::Model& model_;
  DeviceCache cache_;
  DeviceMatrix embedding_, output_;
  bool tied_;  // the embedding is the output
  std::vector<Layer> layers_;
  DeviceNorm output_norm_;
  Floats output_bias_;
  Pass pass_;
  Buffer<int32_t> tokens_;
  Buffer<float> stream_, normed_, beside_, added_, logits_;
};

}  // namespace throng::gpu
