// What the check of a device runs kernels on: made-up rows, sealed on the device itself, as blocks of a
// cache.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "device/codec_kernels.h"
#include "device/device.h"

namespace throng::device {

// Numbers of about a standard normal distribution: a function of the seed.
std::vector<float> Noise(size_t count, uint64_t seed);

// Where the start of GEAR's power iteration is: [rank, d], as GearStart of kv/gear/gear_encode.h has it, but
// transposed.
std::vector<double> GearStartOf(const CodecKernels& codec);

// A number of blocks of one layer in a device's memory, the sealed ones one after the other, then an open one
// for each sequence. A block is [kv_heads, keys and values, page].
class Pages {
 public:
  // Blocks are copies of `distinct` ones, which are sealed from noise.
  Pages(Device& device, const CodecKernels& codec, int kv_heads, int sealed, int open, int distinct);

  const uint8_t* Sealed(int block) const {
    return sealed_->Data() + static_cast<size_t>(block) * BlockBytes();
  }
  const uint8_t* Open(int block) const {
    return open_->Data() + static_cast<size_t>(block) * OpenBlockBytes();
  }
  int64_t PartBytes() const { return static_cast<int64_t>((codec_->page_bytes + 63) / 64 * 64); }
  int64_t OpenPartBytes() const { return int64_t{128} * codec_->head_dim; }
  // Attention of a layer whose pages these are, without sinks.
  AttentionArgs Attention(const float* queries, float* out, int group) const;
  size_t BlockBytes() const { return static_cast<size_t>(2 * kv_heads_ * PartBytes()); }
  size_t OpenBlockBytes() const { return static_cast<size_t>(2 * kv_heads_ * OpenPartBytes()); }

  // The bytes of the first sealed blocks.
  std::vector<uint8_t> ToHost(int blocks) const;

 private:
  void Seal(Device& device, const uint16_t* rows, int parts, uint8_t* pages) const;

  const CodecKernels* codec_;
  const int kv_heads_;
  std::unique_ptr<DeviceArray<uint8_t>> sealed_, open_;
  Device* device_;
};

// One call of attention: what a kernel is launched with, and the memory that it needs.
class DecodeCall {
 public:
  // Sequences of `length` tokens each, the query's own included, with `group` query heads for each KV head.
  DecodeCall(Device& device, const CodecKernels& codec, int kv_heads, int group, int sequences, int length,
             int distinct);
  void Launch();
  LaunchList List() const;  // what Launch does
  std::vector<float> Out() const { return out_->ToHost(); }
  double BytesRead() const;  // of pages, by one launch

 private:
  Device* device_;
  const CodecKernels* codec_;
  const int kv_heads_, sequences_, length_;
  Pages pages_;
  std::unique_ptr<DeviceArray<const uint8_t*>> table_;
  std::unique_ptr<DeviceArray<DecodeSequence>> sequence_;
  std::unique_ptr<DeviceArray<float>> queries_, out_, split_max_, split_sum_, split_out_;
  DecodeArgs args_{};
};

// A chunk of `tokens` tokens, a multiple of 64 or fewer than 64, after `before` ones, a multiple of 64.
class PrefillCall {
 public:
  PrefillCall(Device& device, const CodecKernels& codec, int kv_heads, int group, int before, int tokens,
              bool sas, int distinct);
  void Launch();
  std::vector<float> Out() const { return out_->ToHost(); }
  // The same tokens by the kernels that decode, which must give them the same bits.
  std::vector<float> OneByOne() const;
  double Products() const;  // multiplications and additions of both products, of what is seen

 private:
  Device* device_;
  const KernelId kernel_, decode_, merge_;
  const int heads_, head_dim_, before_, tokens_;
  int num_tiles_ = 0;
  Pages pages_;
  std::unique_ptr<DeviceArray<const uint8_t*>> table_;
  std::unique_ptr<DeviceArray<PrefillTile>> tiles_;
  std::unique_ptr<DeviceArray<float>> queries_, out_, thresholds_;
  std::unique_ptr<DeviceArray<int32_t>> first_visible_;
  PrefillArgs args_{};
};

}  // namespace throng::device
