#include "device/check/model_kernels.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/half.h"
#include "base/rng.h"
#include "device/check/pages.h"
#include "device/kernels/rows.h"
#include "device/kernels/sample.h"

namespace throng::device {
namespace {

template <typename T>
std::unique_ptr<DeviceArray<T>> Upload(Device& device, const std::vector<T>& values) {
  return std::make_unique<DeviceArray<T>>(device, std::span<const T>(values));
}

int Blocks(int count, int of_block) { return (count + of_block - 1) / of_block; }

std::vector<float> Norm(Device& device, bool centred, int width) {
  constexpr int kRows = 2;
  const auto x = Upload(device, Noise(static_cast<size_t>(kRows * width), 21));
  const auto weight = Upload(device, Noise(static_cast<size_t>(width), 22));
  const NormArgs args{.x = x->Data(),
                      .weight = weight->Data(),
                      .bias = weight->Data(),
                      .out = x->Data(),
                      .width = width,
                      .epsilon = 1e-5f,
                      .centred = centred ? 1 : 0};
  device.Launch(KernelId::kNormRows, {kRows, 1, 1}, &args);
  return x->ToHost();
}

std::vector<float> Map(Device& device, RowOp op) {
  constexpr int kCount = 300;
  const auto x = Upload(device, Noise(kCount, 23));
  const auto y = Upload(device, Noise(100, 24));
  const MapArgs args{
      .op = op, .factor = 1.7f, .x = x->Data(), .y = y->Data(), .count = kCount, .period = 100};
  device.Launch(KernelId::kMapRows, {Blocks(kCount, MapRows::kThreads), 1, 1}, &args);
  return x->ToHost();
}

// Rows that are gathered, and then sums of them.
std::vector<float> GatherAndCombine(Device& device) {
  constexpr int kWidth = 300;
  const auto x = Upload(device, Noise(5 * kWidth, 30));
  const auto rows = Upload(device, std::vector<int32_t>{4, 0, 4, 2});
  const auto weights = Upload(device, Noise(4, 31));
  const DeviceArray<float> gathered(device, 4 * kWidth);
  const DeviceArray<float> combined(device, 2 * kWidth);
  const GatherArgs gather{.x = x->Data(), .rows = rows->Data(), .out = gathered.Data(), .width = kWidth};
  device.Launch(KernelId::kGatherRows, {Blocks(kWidth, GatherRows::kThreads), 4, 1}, &gather);
  const CombineArgs combine{.x = x->Data(),
                            .places = rows->Data(),
                            .weights = weights->Data(),
                            .out = combined.Data(),
                            .width = kWidth,
                            .terms = 2};
  device.Launch(KernelId::kCombineRows, {Blocks(kWidth, CombineRows::kThreads), 2, 1}, &combine);
  std::vector<float> result = gathered.ToHost();
  const std::vector<float> sums = combined.ToHost();
  result.insert(result.end(), sums.begin(), sums.end());
  return result;
}

std::vector<float> Embed(Device& device, const WeightFormat& format) {
  constexpr int kWidth = 512;
  const auto table = Upload(device, format.Random(4 * kWidth, 25));
  const auto tokens = Upload(device, std::vector<int32_t>{3, 0});
  const DeviceArray<float> out(device, 2 * kWidth);
  const EmbedArgs args{.table = table->Data(),
                       .row_bytes = kWidth / format.weights * format.bytes,
                       .tokens = tokens->Data(),
                       .out = out.Data(),
                       .width = kWidth};
  device.Launch(format.Kernels().embed, {Blocks(kWidth, EmbedRows<FloatWeights>::kThreads), 2, 1}, &args);
  return out.ToHost();
}

// Tokens as floats.
std::vector<float> Draw(Device& device, int vocab) {
  constexpr uint64_t kLeast = kLargestTokenWeight / 10;
  std::vector<SampleJob> jobs = {{nullptr, 0, 0.0f, 1.0f, 0, 0, 0},
                                 {nullptr, 0, 1.0f, 1.0f, 0, 0, 0},
                                 {nullptr, 0, 0.8f, 0.9f, 0, 0, 0},
                                 {nullptr, 0, 5.0f, 0.95f, 40, 0, 0},
                                 {nullptr, 0, 1.0f, 1.0f, 0, kLeast, 0}};
  for (size_t i = 0; i < jobs.size(); ++i) {
    jobs[i].row = static_cast<int>(i);
    jobs[i].random = CounterRng(27).At(i);
  }
  const auto device_jobs = Upload(device, jobs);
  const auto logits = Upload(device, Noise(jobs.size() * static_cast<size_t>(vocab), 26));
  const DeviceArray<uint64_t> weights(device, jobs.size() * static_cast<size_t>(vocab));
  const DeviceArray<int32_t> tokens(device, jobs.size());
  const SampleArgs args{.jobs = device_jobs->Data(),
                        .logits = logits->Data(),
                        .weights = weights.Data(),
                        .tokens = tokens.Data(),
                        .vocab = vocab};
  device.Launch(KernelId::kSampleTokens, {static_cast<int>(jobs.size()), 1, 1}, &args);
  const auto drawn = tokens.ToHost();
  return {drawn.begin(), drawn.end()};
}

}  // namespace

const WeightKernels& WeightFormat::Kernels() const {
  return *std::ranges::find(kWeightKernels, std::string_view(name), &WeightKernels::format);
}

std::vector<uint8_t> WeightFormat::Random(size_t count, uint64_t seed) const {
  const size_t blocks = count / static_cast<size_t>(weights);
  const auto block_bytes = static_cast<size_t>(bytes);
  std::vector<uint8_t> out(blocks * block_bytes);
  CounterRng rng(seed);
  if (!Kernels().of_integers) {
    const std::vector<float> noise = Noise(count, seed);
    for (size_t i = 0; i < count; ++i) {
      const uint16_t half =
          Kernels().embed == KernelId::kEmbedF16 ? FloatToHalf(noise[i]) : FloatToBfloat16(noise[i]);
      const void* from = bytes == 4 ? static_cast<const void*>(&noise[i]) : &half;
      std::memcpy(out.data() + i * block_bytes, from, block_bytes);
    }
    return out;
  }
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(rng.Next());
  for (size_t block = 0; block < blocks; ++block) {
    for (const int at : scales) {
      const uint16_t half = FloatToHalf(static_cast<float>(0.001 * (0.5 + rng.NextDouble())));
      std::memcpy(out.data() + block * block_bytes + at, &half, sizeof(half));
    }
    if (has_exponent) out[block * block_bytes] = static_cast<uint8_t>(117 + rng.NextBelow(4));
  }
  return out;
}

std::span<const WeightFormat> WeightFormats() {
  static const WeightFormat formats[] = {
      {"Q8_0", 34, 32, {0}},      {"Q4_0", 18, 32, {0}},     {"MXFP4", 17, 32, {}, true},
      {"Q4_K", 144, 256, {0, 2}}, {"Q6_K", 210, 256, {208}}, {"F32", 4, 1, {}},
      {"F16", 2, 1, {}},          {"BF16", 2, 1, {}},
  };
  return formats;
}

ProductCall::ProductCall(Device& device, const WeightFormat& format, int outputs, int cols, int rows)
    : device_(&device), kernel_(&format.Kernels().ProductOf(rows)) {
  const auto elements = static_cast<size_t>(rows) * static_cast<size_t>(cols);
  weights_ = Upload(device, format.Random(static_cast<size_t>(outputs) * static_cast<size_t>(cols), 28));
  x_ = Upload(device, Noise(elements, 29));
  y_ = std::make_unique<DeviceArray<float>>(device, static_cast<size_t>(rows) * static_cast<size_t>(outputs));
  args_ = {.weights = weights_->Data(),
           .row_bytes = int64_t{cols} / format.weights * format.bytes,
           .outputs = outputs,
           .cols = cols,
           .x = {},
           .terms = 2,
           .rows = rows,
           .x_rows = x_->Data(),
           .y = y_->Data(),
           .y_stride = outputs};
  if (!format.Kernels().of_integers) return;
  const size_t groups = elements / kGroupWeights;
  RoundArgs round{.x = x_->Data(), .groups = static_cast<int64_t>(groups), .out = {}, .left = {}};
  for (int term = 0; term < 2; ++term) {
    Rounded& rounded = rounded_[term];
    rounded.codes = std::make_unique<DeviceArray<int8_t>>(device, elements);
    rounded.scales = std::make_unique<DeviceArray<float>>(device, groups);
    rounded.sums = std::make_unique<DeviceArray<float>>(device, groups);
    args_.x[term] = {rounded.codes->Data(), rounded.scales->Data(), rounded.sums->Data()};
  }
  round.out = args_.x[0];
  round.left = args_.x[1];
  device.Launch(KernelId::kRoundRows, {Blocks(static_cast<int>(groups), RoundRows::kWarps), 1, 1}, &round);
}

void ProductCall::Launch() { device_->Launch(kernel_->id, kernel_->Grid(args_.outputs, args_.rows), &args_); }

double ProductCall::BytesRead() const {
  return static_cast<double>(args_.row_bytes) * static_cast<double>(args_.outputs);
}

void CompareModelKernels(Device& device, Device& emulated, bool tiny, const ReportFloats& report) {
  for (const bool centred : {false, true}) {
    const int width = tiny ? 300 : 4096;
    report(centred ? "layer_norm" : "rms_norm", Norm(device, centred, width), Norm(emulated, centred, width),
           true);
  }
  for (int op = 0; op <= static_cast<int>(RowOp::kReluSquared); ++op) {
    const auto of = static_cast<RowOp>(op);
    report("map_" + std::to_string(op), Map(device, of), Map(emulated, of), false);
  }
  report("gather_combine", GatherAndCombine(device), GatherAndCombine(emulated), true);
  for (const WeightFormat& format : WeightFormats()) {
    const std::string name = format.name;
    report("embed_" + name, Embed(device, format), Embed(emulated, format), true);
    for (const int rows : {5, 13, 34}) {
      const int outputs = tiny ? 18 : 100;
      const int cols = tiny ? 256 : 1024;
      ProductCall got(device, format, outputs, cols, rows);
      ProductCall expected(emulated, format, outputs, cols, rows);
      got.Launch();
      expected.Launch();
      device.Wait();
      report("multiply_" + std::to_string(rows) + "_" + name, got.Out(), expected.Out(), true);
    }
  }
  const int vocab = tiny ? 600 : 5000;
  report("sample", Draw(device, vocab), Draw(emulated, vocab), true);
}

}  // namespace throng::device
