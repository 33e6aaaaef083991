#include "device/check/pages.h"

#include <algorithm>
#include <cmath>

#include "base/half.h"
#include "base/rng.h"

namespace throng::device {
namespace {

template <typename T>
std::unique_ptr<DeviceArray<T>> Upload(Device& device, const std::vector<T>& values) {
  return std::make_unique<DeviceArray<T>>(device, std::span<const T>(values));
}

float ScaleOf(int head_dim) { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

// 6, and more for rows that see more than 1024 keys (attention/sas.h).
float SasThresholdOf(int keys) {
  return keys <= 1024 ? 6.0f : std::min(15.9f, static_cast<float>(6.0 + std::log(keys / 1024.0)));
}

}  // namespace

std::vector<float> Noise(size_t count, uint64_t seed) {
  CounterRng rng(seed);
  std::vector<float> noise(count);
  for (float& x : noise) {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += rng.NextDouble();
    x = static_cast<float>(sum);
  }
  return noise;
}

std::vector<double> GearStartOf(const CodecKernels& codec) {
  const auto rank = static_cast<size_t>(codec.rank);
  const auto d = static_cast<size_t>(codec.head_dim);
  std::vector<double> start(std::max<size_t>(rank * d, 1));
  CounterRng rng(0x67656172, 0);
  for (size_t i = 0; i < rank * d; ++i) start[i % rank * d + i / rank] = rng.NextDouble();
  return start;
}

Pages::Pages(Device& device, const CodecKernels& codec, int kv_heads, int sealed, int open, int distinct)
    : codec_(&codec), kv_heads_(kv_heads), device_(&device) {
  const size_t rows_of_block = OpenBlockBytes() / 2;
  const auto count = static_cast<size_t>(std::max(1, std::min(distinct, std::max(sealed, open))));
  const std::vector<float> noise = Noise(count * rows_of_block, 17);
  std::vector<uint16_t> halves(noise.size());
  std::transform(noise.begin(), noise.end(), halves.begin(), FloatToHalf);
  const auto rows = Upload(device, halves);
  const auto fill = [&](DeviceArray<uint8_t>& to, size_t bytes, int blocks) {
    std::vector<uint8_t> first(count * bytes);
    device.CopyFrom(first.data(), to.Data(), std::min(count, static_cast<size_t>(blocks)) * bytes);
    for (size_t block = count; block < static_cast<size_t>(blocks); ++block) {
      device.CopyTo(to.Data() + block * bytes, first.data() + block % count * bytes, bytes);
    }
  };
  open_ = std::make_unique<DeviceArray<uint8_t>>(device, std::max<size_t>(1, open * OpenBlockBytes()));
  const size_t given = std::min(count, static_cast<size_t>(open)) * OpenBlockBytes();
  device.CopyTo(open_->Data(), halves.data(), given);
  fill(*open_, OpenBlockBytes(), open);
  sealed_ = std::make_unique<DeviceArray<uint8_t>>(device, std::max<size_t>(1, sealed * BlockBytes()));
  const int to_seal = std::min(static_cast<int>(count), sealed);
  if (to_seal == 0) return;
  if (codec.seal) {
    Seal(device, rows->Data(), to_seal * kv_heads * 2, sealed_->Data());
  } else {
    device.CopyTo(sealed_->Data(), halves.data(), static_cast<size_t>(to_seal) * OpenBlockBytes());
  }
  fill(*sealed_, BlockBytes(), sealed);
}

void Pages::Seal(Device& device, const uint16_t* rows, int parts, uint8_t* pages) const {
  // What a seal does not write, the end of a page, is 0.
  const std::vector<uint8_t> zeros(static_cast<size_t>(parts * PartBytes()));
  device.CopyTo(pages, zeros.data(), zeros.size());
  std::vector<SealJob> jobs;
  for (int part = 0; part < parts; ++part) {
    jobs.push_back(
        {rows + static_cast<int64_t>(part) * 64 * codec_->head_dim, pages + part * PartBytes(), part % 2});
  }
  const auto device_jobs = Upload(device, jobs);
  const auto start = Upload(device, GearStartOf(*codec_));
  const SealArgs args{device_jobs->Data(), start->Data()};
  device.Launch(*codec_->seal, {parts, 1, 1}, &args);
  device.Wait();
}

AttentionArgs Pages::Attention(const float* queries, float* out, int group) const {
  return {.queries = queries,
          .out = out,
          .sinks = nullptr,
          .scale = ScaleOf(codec_->head_dim),
          .group = group,
          .kv_heads = kv_heads_,
          .sealed = {0, PartBytes(), 2 * PartBytes()},
          .open = {0, OpenPartBytes(), 2 * OpenPartBytes()}};
}

std::vector<uint8_t> Pages::ToHost(int blocks) const {
  std::vector<uint8_t> bytes(static_cast<size_t>(blocks) * BlockBytes());
  device_->CopyFrom(bytes.data(), sealed_->Data(), bytes.size());
  return bytes;
}

DecodeCall::DecodeCall(Device& device, const CodecKernels& codec, int kv_heads, int group, int sequences,
                       int length, int distinct)
    : device_(&device),
      codec_(&codec),
      kv_heads_(kv_heads),
      sequences_(sequences),
      length_(length),
      pages_(device, codec, kv_heads, sequences * ((length - 1) / 64), sequences, distinct) {
  const int num_sealed = (length - 1) / 64;
  std::vector<const uint8_t*> table;
  for (int block = 0; block < sequences * num_sealed; ++block) table.push_back(pages_.Sealed(block));
  if (table.empty()) table.push_back(nullptr);
  table_ = Upload(device, table);
  std::vector<DecodeSequence> rows;
  for (int s = 0; s < sequences; ++s) {
    rows.push_back({table_->Data() + static_cast<ptrdiff_t>(s) * num_sealed, pages_.Open(s), num_sealed,
                    length - 64 * num_sealed, 0, s, 0.0f});
  }
  sequence_ = Upload(device, rows);
  const int max_splits = num_sealed / kSplitPages + 1;
  const auto d = static_cast<size_t>(codec.head_dim);
  const size_t elements = static_cast<size_t>(sequences * kv_heads * group) * d;
  queries_ = Upload(device, Noise(elements, 18));
  out_ = std::make_unique<DeviceArray<float>>(device, elements);
  const size_t partial = static_cast<size_t>(sequences * kv_heads * max_splits) * kGroupRows;
  split_max_ = std::make_unique<DeviceArray<float>>(device, partial);
  split_sum_ = std::make_unique<DeviceArray<float>>(device, partial);
  split_out_ = std::make_unique<DeviceArray<float>>(device, partial * d);
  args_ = {.attention = pages_.Attention(queries_->Data(), out_->Data(), group),
           .sequences = sequence_->Data(),
           .split_max = split_max_->Data(),
           .split_sum = split_sum_->Data(),
           .split_out = split_out_->Data(),
           .max_splits = max_splits};
}

void DecodeCall::Launch() {
  device_->Launch(codec_->decode, {static_cast<int>(args_.max_splits), kv_heads_, sequences_}, &args_);
  device_->Launch(codec_->merge, {kv_heads_, sequences_, 1}, &args_);
}

LaunchList DecodeCall::List() const {
  LaunchList list;
  list.Launch(codec_->decode, {static_cast<int>(args_.max_splits), kv_heads_, sequences_}, &args_);
  list.Launch(codec_->merge, {kv_heads_, sequences_, 1}, &args_);
  return list;
}

double DecodeCall::BytesRead() const {
  const double sealed =
      static_cast<double>((length_ - 1) / 64) * 2.0 * static_cast<double>(codec_->page_bytes);
  return sequences_ * kv_heads_ * (sealed + 2.0 * static_cast<double>(pages_.OpenPartBytes()));
}

PrefillCall::PrefillCall(Device& device, const CodecKernels& codec, int kv_heads, int group, int before,
                         int tokens, bool sas, int distinct)
    : device_(&device),
      kernel_(sas ? *codec.prefill_sas : codec.prefill),
      decode_(sas ? *codec.decode_sas : codec.decode),
      merge_(sas ? *codec.merge_sas : codec.merge),
      heads_(kv_heads * group),
      head_dim_(codec.head_dim),
      before_(before),
      tokens_(tokens),
      pages_(device, codec, kv_heads, (before + tokens) / 64, (tokens + 63) / 64, distinct) {
  std::vector<const uint8_t*> table;
  for (int block = 0; block < (before + tokens) / 64; ++block) table.push_back(pages_.Sealed(block));
  if (table.empty()) table.push_back(nullptr);
  table_ = Upload(device, table);
  std::vector<PrefillTile> tiles;
  std::vector<float> thresholds;
  for (int token = 0; token < tokens;) {
    const int count = std::min({64 - token % 64, kTileRows / group, tokens - token});
    tiles.push_back(
        {table_->Data(), pages_.Open(token / 64), (before + token) / 64, token % 64, count, token});
    token += count;
  }
  // The longest first: they take longest.
  std::reverse(tiles.begin(), tiles.end());
  for (int token = 0; token < tokens; ++token) thresholds.push_back(SasThresholdOf(before + token + 1));
  num_tiles_ = static_cast<int>(tiles.size());
  tiles_ = Upload(device, tiles);
  thresholds_ = Upload(device, thresholds);
  first_visible_ = Upload(device, std::vector<int32_t>(static_cast<size_t>(tokens), 0));
  const size_t elements = static_cast<size_t>(tokens) * static_cast<size_t>(heads_ * head_dim_);
  queries_ = Upload(device, Noise(elements, 19));
  out_ = std::make_unique<DeviceArray<float>>(device, elements);
  args_ = {.attention = pages_.Attention(queries_->Data(), out_->Data(), group),
           .tiles = tiles_->Data(),
           .first_visible = first_visible_->Data(),
           .thresholds = thresholds_->Data()};
}

void PrefillCall::Launch() {
  device_->Launch(kernel_, {num_tiles_, static_cast<int>(args_.attention.kv_heads), 1}, &args_);
}

std::vector<float> PrefillCall::OneByOne() const {
  std::vector<DecodeSequence> rows;
  for (int token = 0; token < tokens_; ++token) {
    const int position = before_ + token;
    rows.push_back({table_->Data(), pages_.Open(token / 64), position / 64, position % 64 + 1, 0, token,
                    SasThresholdOf(position + 1)});
  }
  const auto sequences = Upload(*device_, rows);
  const int kv_heads = static_cast<int>(args_.attention.kv_heads);
  const int max_splits = (before_ + tokens_ - 1) / 64 / kSplitPages + 1;
  const size_t partial = static_cast<size_t>(tokens_ * kv_heads * max_splits) * kGroupRows;
  const DeviceArray<float> split_max(*device_, partial), split_sum(*device_, partial);
  const DeviceArray<float> split_out(*device_, partial * static_cast<size_t>(head_dim_));
  const DeviceArray<float> out(*device_,
                               static_cast<size_t>(tokens_) * static_cast<size_t>(heads_ * head_dim_));
  DecodeArgs args{.attention = args_.attention,
                  .sequences = sequences->Data(),
                  .split_max = split_max.Data(),
                  .split_sum = split_sum.Data(),
                  .split_out = split_out.Data(),
                  .max_splits = max_splits};
  args.attention.out = out.Data();
  device_->Launch(decode_, {max_splits, kv_heads, tokens_}, &args);
  device_->Launch(merge_, {kv_heads, tokens_, 1}, &args);
  return out.ToHost();
}

double PrefillCall::Products() const {
  const double pairs = tokens_ * (static_cast<double>(before_) + 0.5 * (tokens_ + 1));
  return 4.0 * pairs * heads_ * head_dim_;
}

}  // namespace throng::device
