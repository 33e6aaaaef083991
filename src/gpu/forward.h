// A model's forward pass on a device: token ids in, logits out. Weights are copied once; between passes, the
// KV cache is all that stays. As with model/transformer.h, a row of logits depends on the tokens of its
// sequence, the model and the codec alone, not on chunks and batches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "device/device.h"
#include "gpu/blocks.h"
#include "gpu/experts.h"
#include "gpu/products.h"
#include "gpu/rows.h"
#include "model/model.h"
#include "model/transformer.h"

namespace throng::gpu {

// One forward pass at a time.
class DeviceModel {
 public:
  // Throws kUnsupported with one sentence for what the device does not compute: recurrent layers,
  // formats without kernels and others; std::bad_alloc if it has no memory for the weights. model,
  // whose ropes are used, and device must outlive it.
  DeviceModel(device::Device& device, const model::Model& model);

  // items: with caches in the device's memory, of one layout for which KernelsOf has kernels, and with chunks
  // begun. Returns logits of the device, [sum of num_logits, vocab], in the order of items and tokens, until
  // the next pass; null if none are asked for. Throws std::bad_alloc; then the chunks cannot be finished.
  const float* Forward(std::span<const model::BatchItem> items);

 private:
  struct Residual {
    DeviceNorm norm, branch_norm, branch_post_norm, post_norm;
    std::variant<DeviceAttention, DeviceFeedForward, DeviceExperts> block;
    float scale;
  };
  struct Layer {
    std::vector<Residual> residuals;
    float scale;
  };

  void CheckShapes() const;
  Residual MakeResidual(const model::Residual& residual, size_t layer);
  void Begin(std::span<const model::BatchItem> items);
  void PlanCache(std::span<const model::BatchItem> items);
  void PlanRuns(std::span<const model::BatchItem> items);
  void PlanViews(std::span<const model::BatchItem> items);
  void PlanView(std::span<const model::BatchItem> items, const kv::Reach& reach, const uint8_t* const* table,
                Pass::View& to);
  void PlanSeals();
  void WriteRopes(std::span<const model::BatchItem> items);
  void Compute(const Residual& residual);
  const float* Logits(std::span<const model::BatchItem> items);
  void TakeStates(std::span<const model::BatchItem> items, const float* states);
  size_t StreamElements() const;
  const double* SealStart(const device::CodecKernels& codec, int head_dim);

  device::Device& device_;
  const model::Model& model_;
  // Tokens of one block of a sequence that attend together.
  struct Run {
    size_t item;
    int first_position, count;
    int row;  // of the first one
    bool is_tile;
  };

  DeviceMatrix embedding_, output_;
  bool tied_;  // the embedding is the output
  std::vector<Layer> layers_;
  std::vector<kv::Reach> reaches_;  // what layers see, each once: Pass::views
  int most_group_ = 1;              // query heads that share a KV head
  std::vector<Run> runs_;           // of the pass
  DeviceNorm output_norm_;
  Floats output_bias_;
  Pass pass_;
  Buffer<int32_t> tokens_;
  Buffer<float> stream_, normed_, beside_, added_, logits_;
  std::unique_ptr<device::DeviceArray<double>> seal_start_;  // of SealArgs, of the rank below
  int seal_rank_ = 0;
};

}  // namespace throng::gpu
