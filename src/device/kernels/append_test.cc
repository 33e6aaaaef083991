// New rows of keys and values on the emulated GPU, against the open pages of this processor.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "device/emulation/emulated_device.h"
#include "device/kernels/all_kernels.h"
#include "kv/open_codec.h"
#include "kv/testing/random_rows.h"

namespace throng::device {
namespace {

using kv::Part;

constexpr int kHeads = 2;
constexpr int kGroup = 3;

struct AppendCase {
  int head_dim;
  int pairs;
  bool halves;
  int first;  // row of the page
  int count;
};

// As model/row_ops.cc rotates.
void Turn(const AppendCase& one, const float* cos_sin, float* head) {
  for (int i = 0; i < one.pairs; ++i) {
    float& first = head[one.halves ? i : 2 * i];
    float& second = head[one.halves ? i + one.pairs : 2 * i + 1];
    const float a = first;
    const float b = second;
    const float cos = cos_sin[i];
    const float sin = cos_sin[one.pairs + i];
    first = a * cos - b * sin;
    second = a * sin + b * cos;
  }
}

void ExpectTheProcessorsRows(const AppendCase& one, KernelId kernel) {
  const auto d = static_cast<size_t>(one.head_dim);
  const auto count = static_cast<size_t>(one.count);
  const auto pairs = static_cast<size_t>(one.pairs);
  std::vector<float> queries = kv::Normal(count * kHeads * kGroup * d, 1);
  std::vector<float> keys = kv::Normal(count * kHeads * d, 2);
  std::vector<float> values = kv::Normal(count * kHeads * d, 3);
  values[0] = NAN;
  values[1] = 1e9f;
  std::vector<float> cos_sin(count * 2 * pairs);
  for (size_t t = 0; t < count; ++t) {
    for (size_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(t + 7) * std::pow(10000.0, -static_cast<double>(i) / 32.0);
      cos_sin[t * 2 * pairs + i] = static_cast<float>(std::cos(angle));
      cos_sin[t * 2 * pairs + pairs + i] = static_cast<float>(std::sin(angle));
    }
  }
  const size_t page = 64 * d;  // halves
  const std::vector<uint16_t> before(2 * kHeads * page, 0x3c00);

  const auto device = MakeEmulatedDevice({.seed = 4});
  const DeviceArray<uint16_t> open(*device, std::span<const uint16_t>(before));
  std::vector<AppendToken> tokens;
  for (int t = 0; t < one.count; ++t) {
    tokens.push_back({reinterpret_cast<uint8_t*>(open.Data()), one.first + t,
                      one.first == 0 && t == one.count - 1 ? 1 : 0});
  }
  const DeviceArray<AppendToken> device_tokens(*device, std::span<const AppendToken>(tokens));
  const DeviceArray<float> device_queries(*device, std::span<const float>(queries));
  const DeviceArray<float> device_keys(*device, std::span<const float>(keys));
  const DeviceArray<float> device_values(*device, std::span<const float>(values));
  const DeviceArray<float> device_cos_sin(*device, std::span<const float>(cos_sin));
  const AppendArgs args{.tokens = device_tokens.Data(),
                        .queries = device_queries.Data(),
                        .keys = device_keys.Data(),
                        .values = device_values.Data(),
                        .cos_sin = device_cos_sin.Data(),
                        .pairs = one.pairs,
                        .halves = one.halves ? 1 : 0,
                        .group = kGroup,
                        .kv_heads = kHeads,
                        .open = {0, static_cast<int64_t>(2 * page), static_cast<int64_t>(4 * page)}};
  device->Launch(kernel, {one.count, kHeads, 1}, &args);
  device->Wait();

  std::vector<uint16_t> expected = before;
  const auto codec = kv::MakeOpenCodec(kv::OpenType::kF16, one.head_dim);
  for (size_t t = 0; t < count; ++t) {
    const float* turn = cos_sin.data() + t * 2 * pairs;
    for (size_t h = 0; h < kHeads; ++h) Turn(one, turn, keys.data() + (t * kHeads + h) * d);
    for (size_t h = 0; h < kHeads * kGroup; ++h) {
      Turn(one, turn, queries.data() + (t * kHeads * kGroup + h) * d);
    }
  }
  for (size_t h = 0; h < kHeads; ++h) {
    auto* at = reinterpret_cast<uint8_t*>(expected.data() + 2 * h * page);
    codec->Append(Part::kKeys, at, one.first, one.count, keys.data() + h * d, kHeads * d);
    codec->Append(Part::kValues, at + 2 * page, one.first, one.count, values.data() + h * d, kHeads * d);
  }
  EXPECT_EQ(open.ToHost(), expected);
  EXPECT_TRUE(kv::SameBits(device_queries.ToHost(), queries));
}

TEST(AppendOnDevice, WritesTheRowsOfTheProcessor) {
  ExpectTheProcessorsRows({64, 32, true, 0, 5}, KernelId::kAppendDim64);     // begins a page
  ExpectTheProcessorsRows({64, 32, false, 10, 1}, KernelId::kAppendDim64);   // one token, neighbours
  ExpectTheProcessorsRows({128, 64, true, 60, 4}, KernelId::kAppendDim128);  // fills a page
  ExpectTheProcessorsRows({128, 32, true, 0, 64}, KernelId::kAppendDim128);  // half of a head turns
  ExpectTheProcessorsRows({128, 16, false, 0, 1}, KernelId::kAppendDim128);
}

}  // namespace
}  // namespace throng::device
