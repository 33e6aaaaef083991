// Operations on rows on the emulated GPU, against those of this processor and in double precision.
#include "gpu/rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "device/emulation/emulated_device.h"
#include "kv/testing/random_rows.h"

namespace throng::gpu {
namespace {

using device::RowOp;
using kv::Normal;

struct NormCase {
  bool centred;
  int rows, width;
  bool weighted, biased;
};

std::vector<float> NormOnDevice(const NormCase& one, const std::vector<float>& x,
                                const device::emulation::Conduct& conduct) {
  const auto device = device::MakeEmulatedDevice(conduct);
  const auto width = static_cast<size_t>(one.width);
  model::Norm norm{one.centred ? model::NormKind::kLayer : model::NormKind::kRms, {}, {}, 1e-5f};
  if (one.weighted) norm.weight = Normal(width, 2);
  if (one.biased) norm.bias = Normal(width, 3);
  const device::DeviceArray<float> device_x(*device, std::span<const float>(x));
  const device::DeviceArray<float> out(*device, x.size());
  DeviceNorm(*device, norm).Apply(*device, device_x.Data(), one.rows, one.width, out.Data());
  return out.ToHost();
}

std::vector<float> NormInDoubles(const NormCase& one, const std::vector<float>& x) {
  const auto width = static_cast<size_t>(one.width);
  const auto weight = Normal(width, 2);
  const auto bias = Normal(width, 3);
  std::vector<float> out;
  for (size_t r = 0; r < static_cast<size_t>(one.rows); ++r) {
    double mean = 0.0;
    double squares = 0.0;
    for (size_t i = 0; i < width; ++i) mean += x[r * width + i] / static_cast<double>(width);
    if (!one.centred) mean = 0.0;
    for (size_t i = 0; i < width; ++i) squares += std::pow(x[r * width + i] - mean, 2);
    const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(width) + 1e-5f);
    for (size_t i = 0; i < width; ++i) {
      const double y = (x[r * width + i] - mean) * inverse * (one.weighted ? weight[i] : 1.0f);
      out.push_back(static_cast<float>(y + (one.biased ? bias[i] : 0.0f)));
    }
  }
  return out;
}

TEST(RowsOnDevice, NormsAreThoseInDoublePrecision) {
  for (const NormCase& one : {NormCase{false, 3, 64, true, false},
                              {false, 2, 700, false, false},
                              {true, 3, 64, true, true},
                              {true, 1, 300, true, false}}) {
    const auto count = static_cast<size_t>(one.rows * one.width);
    auto x = Normal(count, 1, 2.0f);
    if (one.centred) {
      for (float& value : x) value += 3.0f;
    }
    EXPECT_LT(kv::RelativeError(NormOnDevice(one, x, {.seed = 5}), NormInDoubles(one, x)), 3e-7)
        << one.width << (one.centred ? " centred" : "");
  }
}

TEST(RowsOnDevice, EachWaitOfANormIsNeeded) {
  const NormCase one{true, 2, 600, false, false};
  const auto x = Normal(1200, 1);
  std::vector<device::emulation::Place> met;
  const auto expected = NormOnDevice(one, x, {.seed = 1, .met = &met});
  ASSERT_EQ(met.size(), 1u);
  int wrong = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed)
    wrong += !kv::SameBits(NormOnDevice(one, x, {.seed = seed, .unheeded = met[0]}), expected);
  EXPECT_GE(wrong, 3);
  for (uint64_t seed = 2; seed <= 4; ++seed)
    EXPECT_TRUE(kv::SameBits(NormOnDevice(one, x, {.seed = seed}), expected));
}

// What an operation makes of elements, on this processor and on the device.
struct MapCase {
  const char* name;
  RowOp op;
  void (*host)(float* x, const float* y, size_t n);
  double error;  // allowed, of the length; 0: the same bits
};

constexpr float kFactor = 1.7f;

TEST(RowsOnDevice, ElementsAreTheProcessors) {
  using enum model::Activation;
  const MapCase cases[] = {
      {"add", RowOp::kAdd, model::AddTo, 0},
      {"multiply", RowOp::kMultiply, model::MultiplyBy, 0},
      {"add scaled", RowOp::kAddScaled,
       [](float* x, const float* y, size_t n) { model::AddScaled(x, y, kFactor, n); }, 1e-7},
      {"scale", RowOp::kScale, [](float* x, const float*, size_t n) { model::Scale(x, kFactor, n); }, 0},
      {"cap", RowOp::kSoftCap, [](float* x, const float*, size_t n) { model::SoftCap(x, kFactor, n); }, 3e-7},
      {"sigmoid", RowOp::kTimesSigmoid, model::TimesSigmoid, 3e-7},
      {"silu gate", GateOp(kSilu), [](float* x, const float* y, size_t n) { model::Gate(kSilu, x, y, n); },
       3e-7},
      {"gelu gate", GateOp(kGeluTanh),
       [](float* x, const float* y, size_t n) { model::Gate(kGeluTanh, x, y, n); }, 3e-7},
      {"relu gate", GateOp(kReluSquared),
       [](float* x, const float* y, size_t n) { model::Gate(kReluSquared, x, y, n); }, 0},
      {"swiglu", GateOp(kClampedSwiglu),
       [](float* x, const float* y, size_t n) { model::Gate(kClampedSwiglu, x, y, n); }, 3e-7},
      {"silu", ActivateOp(kSilu), [](float* x, const float*, size_t n) { model::Activate(kSilu, x, n); },
       3e-7},
      {"gelu", ActivateOp(kGeluTanh),
       [](float* x, const float*, size_t n) { model::Activate(kGeluTanh, x, n); }, 3e-7},
      {"relu", ActivateOp(kReluSquared),
       [](float* x, const float*, size_t n) { model::Activate(kReluSquared, x, n); }, 0},
  };
  const size_t n = 300;  // more than a block
  auto x = Normal(n, 1, 4.0f);
  const auto y = Normal(n, 2, 4.0f);
  x[0] = 200.0f;
  x[1] = -200.0f;
  x[2] = 0.0f;
  const auto device = device::MakeEmulatedDevice({.seed = 2});
  for (const MapCase& one : cases) {
    const device::DeviceArray<float> device_x(*device, std::span<const float>(x));
    const device::DeviceArray<float> device_y(*device, std::span<const float>(y));
    Map(*device, one.op, device_x.Data(), n, device_y.Data(), n, kFactor);
    std::vector<float> expected = x;
    one.host(expected.data(), y.data(), n);
    const auto got = device_x.ToHost();
    EXPECT_LE(kv::RelativeError(got, expected), one.error) << one.name;
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(got[i], expected[i], 1e-6 * (std::abs(expected[i]) + std::abs(x[i] * y[i]) + 1.0))
          << one.name << " " << x[i];
    }
  }
}

TEST(RowsOnDevice, RowsAreGatheredAndCombined) {
  constexpr int kWidth = 300;  // more than a block
  const auto device = device::MakeEmulatedDevice({.seed = 4});
  const auto x = Normal(5 * kWidth, 1);
  const std::vector<int32_t> rows = {4, 0, 4, 2};
  const auto weights = Normal(4, 2);
  const device::DeviceArray<float> device_x(*device, std::span<const float>(x));
  const device::DeviceArray<int32_t> device_rows(*device, std::span<const int32_t>(rows));
  const device::DeviceArray<float> device_weights(*device, std::span<const float>(weights));
  const device::DeviceArray<float> gathered(*device, size_t{4} * kWidth);
  const device::GatherArgs gather{
      .x = device_x.Data(), .rows = device_rows.Data(), .out = gathered.Data(), .width = kWidth};
  device->Launch(device::KernelId::kGatherRows, {2, 4, 1}, &gather);
  const device::DeviceArray<float> combined(*device, size_t{2} * kWidth);
  const device::CombineArgs combine{.x = device_x.Data(),
                                    .places = device_rows.Data(),
                                    .weights = device_weights.Data(),
                                    .out = combined.Data(),
                                    .width = kWidth,
                                    .terms = 2};
  device->Launch(device::KernelId::kCombineRows, {2, 2, 1}, &combine);
  std::vector<float> expected;
  std::vector<float> sums(size_t{2} * kWidth);
  for (size_t i = 0; i < rows.size(); ++i) {
    const float* row = x.data() + rows[i] * kWidth;
    expected.insert(expected.end(), row, row + kWidth);
    for (size_t c = 0; c < kWidth; ++c) sums[i / 2 * kWidth + c] += row[c] * weights[i];
  }
  EXPECT_EQ(gathered.ToHost(), expected);
  EXPECT_EQ(combined.ToHost(), sums);
}

TEST(RowsOnDevice, ABiasIsAddedToEachRow) {
  const auto device = device::MakeEmulatedDevice({.seed = 3});
  const auto x = Normal(3 * 50, 1);
  const auto bias = Normal(50, 2);
  const device::DeviceArray<float> device_x(*device, std::span<const float>(x));
  AddBias(*device, Upload(*device, bias), device_x.Data(), 3, 50);
  AddBias(*device, nullptr, device_x.Data(), 3, 50);  // none
  std::vector<float> expected = x;
  for (size_t i = 0; i < expected.size(); ++i) expected[i] += bias[i % 50];
  EXPECT_EQ(device_x.ToHost(), expected);
}

}  // namespace
}  // namespace throng::gpu
