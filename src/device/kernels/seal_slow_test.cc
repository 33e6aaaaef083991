// Kernels that seal pages, on the emulated GPU, against the codecs of this processor.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "device/emulation/emulated_device.h"
#include "device/kernels/all_kernels.h"
#include "device/testing/codecs_on_device.h"
#include "kv/gear/gear_encode.h"
#include "kv/open_codec.h"
#include "kv/testing/random_rows.h"

namespace throng::device {
namespace {

using kv::AlignedBytes;
using kv::Part;

std::vector<CodecKernels> SealingCodecs() {
  std::vector<CodecKernels> codecs = CodecsOnDevice();
  std::erase_if(codecs, [](const CodecKernels& codec) { return !codec.seal; });
  return codecs;
}

// Places where the threads wait for each other.
size_t SealWaits(const CodecKernels& codec) {
  if (IsNamed(codec.name, "flashq")) return 3;
  if (IsNamed(codec.name, "rot")) return 2;
  if (IsNamed(codec.name, "int4")) return 1;
  if (IsNamed(codec.name, "kivi")) return 2;
  const size_t errors = IsNamed(codec.name, "gearl2") || IsNamed(codec.name, "gear2");
  if (IsNamed(codec.name, "gearl")) return 10 + errors;
  if (IsNamed(codec.name, "gear")) return 13 + errors;
  return 0;
}

class SealOnDevice : public testing::TestWithParam<CodecKernels> {};
INSTANTIATE_TEST_SUITE_P(Codecs, SealOnDevice, testing::ValuesIn(SealingCodecs()), NameOf);

// Of the power iteration: [rank, d].
std::vector<double> StartOf(const CodecKernels& shape) {
  const auto rank = static_cast<size_t>(shape.rank);
  const auto d = static_cast<size_t>(shape.head_dim);
  std::vector<double> start(rank * d);
  if (rank == 0) return start;
  const std::vector<double> transposed = kv::GearStart(shape.head_dim, shape.rank);
  for (size_t i = 0; i < start.size(); ++i) start[i % rank * d + i / rank] = transposed[i];
  return start;
}

// What the seal kernel makes of blocks, [64, d] each, as keys and as values.
std::vector<std::vector<uint8_t>> Seal(const CodecKernels& shape,
                                       const std::vector<std::vector<float>>& blocks,
                                       const emulation::Conduct& conduct) {
  const auto open = kv::MakeOpenCodec(kv::OpenType::kF16, shape.head_dim);
  const auto codec = MakeCodec(shape);
  const auto device = MakeEmulatedDevice(conduct);
  const size_t d = static_cast<size_t>(shape.head_dim);
  std::vector<std::unique_ptr<DeviceArray<uint16_t>>> rows;
  std::vector<std::unique_ptr<DeviceArray<uint8_t>>> pages;
  std::vector<SealJob> jobs;
  for (const auto& block : blocks) {
    for (const Part part : {Part::kKeys, Part::kValues}) {
      std::vector<uint16_t> page(64 * d);
      open->Append(part, reinterpret_cast<uint8_t*>(page.data()), 0, 64, block.data(), d);
      rows.push_back(std::make_unique<DeviceArray<uint16_t>>(*device, std::span<const uint16_t>(page)));
      pages.push_back(std::make_unique<DeviceArray<uint8_t>>(*device, codec->Bytes(part)));
      jobs.push_back({rows.back()->Data(), pages.back()->Data(), part == Part::kValues});
    }
  }
  const DeviceArray<SealJob> device_jobs(*device, std::span<const SealJob>(jobs));
  const DeviceArray<double> start(*device, std::span<const double>(StartOf(shape)));
  const SealArgs args{device_jobs.Data(), start.Data()};
  device->Launch(*shape.seal, {static_cast<int>(jobs.size()), 1, 1}, &args);
  device->Wait();
  std::vector<std::vector<uint8_t>> sealed;
  for (const auto& page : pages) sealed.push_back(page->ToHost());
  return sealed;
}

// Few channels, which turn as keys do: of gearl2 and gear2, parts that are fitted once are better.
std::vector<float> TurningPairs(int head_dim) {
  std::vector<float> block(64 * static_cast<size_t>(head_dim));
  for (size_t i = 0; i < block.size(); ++i) {
    const size_t token = i / head_dim, channel = i % head_dim;
    if (channel >= 16) continue;
    const double angle =
        static_cast<double>(token) * std::pow(10000.0, -static_cast<double>(channel / 2) / 32.0);
    block[i] = static_cast<float>(8.0 * (channel % 2 == 0 ? std::cos(angle) : std::sin(angle)));
  }
  return block;
}

std::vector<std::vector<float>> BlocksToSeal(int head_dim) {
  const size_t size = 64 * static_cast<size_t>(head_dim);
  std::vector<std::vector<float>> blocks = {kv::Normal(size, 1), kv::Normal(size, 2, 300.0f),
                                            kv::Normal(size, 3, 1e-7f), std::vector<float>(size, 0.0f),
                                            std::vector<float>(size, -2.5f)};
  for (size_t i = 0; i < size; i += 64) blocks[0][i] *= 40.0f;  // a channel of outliers
  // Multiples of the scale's halves: ties.
  blocks.emplace_back(size);
  for (size_t i = 0; i < size; ++i)
    blocks.back()[i] = static_cast<float>(static_cast<int>(i * 7 % 239) - 119) * 0.5f;
  // Least elements that are 0 and -0.
  blocks.emplace_back(size);
  for (size_t i = 0; i < size; ++i) blocks.back()[i] = i % 3 == 0 ? 0.0f : i % 3 == 1 ? -0.0f : 1.0f;
  blocks.push_back(TurningPairs(head_dim));
  return blocks;
}

TEST_P(SealOnDevice, SealsTheBytesOfTheProcessor) {
  const CodecKernels shape = GetParam();
  const auto open = kv::MakeOpenCodec(kv::OpenType::kF16, shape.head_dim);
  const auto codec = MakeCodec(shape);
  const auto blocks = BlocksToSeal(shape.head_dim);
  const auto sealed = Seal(shape, blocks, {.seed = 11});
  for (size_t i = 0; i < sealed.size(); ++i) {
    const Part part = i % 2 == 0 ? Part::kKeys : Part::kValues;
    AlignedBytes page(64 * static_cast<size_t>(shape.head_dim) * 2), expected(codec->Bytes(part));
    open->Append(part, page.data(), 0, 64, blocks[i / 2].data(), static_cast<size_t>(shape.head_dim));
    codec->Seal(part, *open, page.data(), {}, expected.data());
    EXPECT_EQ(sealed[i], std::vector<uint8_t>(expected.data(), expected.data() + expected.size()))
        << "block " << i / 2;
  }
}

// Kernels in which one wait is left out give another result, in most orders of threads.
TEST_P(SealOnDevice, EveryWaitOfTheSealIsNeeded) {
  const CodecKernels shape = GetParam();
  const auto blocks =
      std::vector<std::vector<float>>{BlocksToSeal(shape.head_dim)[0], TurningPairs(shape.head_dim)};
  std::vector<emulation::Place> met;
  const auto expected = Seal(shape, blocks, {.seed = 1, .met = &met});
  EXPECT_EQ(met.size(), SealWaits(shape));
  for (const emulation::Place& place : met) {
    int wrong = 0;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      wrong += Seal(shape, blocks, {.seed = seed, .unheeded = place}) != expected;
    }
    EXPECT_GE(wrong, 3) << place.file << ":" << place.line;
  }
}

}  // namespace
}  // namespace throng::device
