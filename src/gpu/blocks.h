// The blocks of a model's layers on a device: attention and feed-forward.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/kernels/append.h"
#include "device/kernels/decode.h"
#include "device/kernels/prefill.h"
#include "device/kernels/seal_job.h"
#include "gpu/buffer.h"
#include "gpu/pages.h"
#include "gpu/products.h"
#include "gpu/rows.h"
#include "model/blocks/attention_block.h"
#include "model/blocks/feed_forward_block.h"

namespace throng::gpu {

// What the blocks of a pass share. Pointers are of the device.
struct Pass {
  explicit Pass(device::Device& device);

  device::Device& device;
  Multiplier multiplier;
  const kv::BlockLayout* layout = nullptr;  // of all caches
  const device::CodecKernels* codec = nullptr;
  AttentionKernels attention{};
  const double* seal_start = nullptr;  // of SealArgs
  int rows = 0;
  Buffer<const uint8_t*> tables;       // places of sealed blocks, sequence by sequence
  Buffer<device::AppendToken> append;  // [rows]
  // What rows see in layers of one reach. Some attend one by one, others in tiles, with the same bits.
  struct View {
    explicit View(device::Device& device)
        : tokens(device), tiles(device), first_visible(device), thresholds(device) {}
    Buffer<device::DecodeSequence> tokens;
    Buffer<device::PrefillTile> tiles;
    Buffer<int32_t> first_visible;  // [rows]
    Buffer<float> thresholds;       // [rows], of SAS
  };
  std::vector<View> views;
  std::vector<int> view_of;           // [layers of the cache]
  int num_tokens = 0, num_tiles = 0;  // of each view
  int max_splits = 0;                 // of those tokens
  struct Completed {
    const uint8_t* open;
    uint8_t* base;
    uint8_t* sliding;  // null: no layer slides
  };
  std::vector<Completed> completed;    // blocks
  Buffer<device::SealJob> seals;       // [layers, num_seals]
  int num_seals = 0;                   // jobs of a layer
  std::vector<Buffer<float>> cos_sin;  // by rope: [rows, 2, pairs]

  // Of the block that runs.
  Buffer<float> q, k, v, attended, split_max, split_sum, split_out;
  Buffer<float> gate, up;
  Buffer<float> scores, gathered, slot_weights;  // of experts
  Buffer<int32_t> slot_rows, slot_places;
};

class DeviceAttention {
 public:
  // Throws kUnsupported, naming `where`, for what is not computed here.
  DeviceAttention(device::Device& device, const model::AttentionBlock& block, const std::string& where);
  // in, out: [rows, dim]
  void Run(Pass& pass, const float* in, float* out) const;

  const model::AttentionConfig& Config() const { return config_; }

 private:
  void Project(Pass& pass, const float* in) const;
  void Append(Pass& pass) const;
  void Seal(Pass& pass) const;
  void Attend(Pass& pass) const;
  int QueryDim() const { return config_.num_heads * config_.key_dim; }
  int KvDim() const { return config_.num_kv_heads * config_.key_dim; }

  const model::AttentionConfig config_;
  DeviceMatrix q_, k_, v_, output_;
  Floats q_bias_, k_bias_, v_bias_, output_bias_, sinks_;
  DeviceNorm q_norm_, k_norm_;
};

class DeviceFeedForward {
 public:
  DeviceFeedForward(device::Device& device, const model::FeedForwardBlock& block, const std::string& where);
  void Run(Pass& pass, const float* in, float* out) const;

 private:
  const model::Activation activation_;
  DeviceMatrix gate_, up_, down_;
  Floats gate_bias_, up_bias_, down_bias_;
};

}  // namespace throng::gpu
